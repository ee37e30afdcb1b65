"""Where the network's square lies on the original picture, and maps of it carried back.

Coordinates are continuous: pixel k of a side covers [k, k + 1) and its centre is k + 0.5.

* A map of h x w cells divides the square of S x S pixels evenly: cell (i, j) covers the rows
  [i S/h, (i + 1) S/h) and the columns [j S/w, (j + 1) S/w), and its value belongs to its centre.
* A point (x, y) of the original inside the half-open box (x0, y0, x1, y1) lies on the square at
  column left + (x - x0) columns / (x1 - x0) and row top + (y - y0) rows / (y1 - y0), with the
  `Placement` (top, left, rows, columns) of the crop: `stretch` fills the square, and what `pad`
  leaves black has no point of the original.
* In another size (H', W') of the picture the centre of pixel k is (k + 0.5) W / W' on the original.

Values are linear between the centres of the cells; beyond the outermost centres those are held.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.boxes import Box
from realmnet_runtime.errors import UsageError
from realmnet_runtime.pictures.image_headers import PIXEL_LIMIT
from realmnet_runtime.pictures.images import DecodedImage
from realmnet_runtime.pictures.preprocess import Placement, PreprocessSpec, place_crop


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the network's square lies on the original picture.

    Attributes:
        original_size: (height, width), pixels.
        box: (x0, y0, x1, y1) of the crop on the original, half-open.
        placement: of the crop on the square.
        size: side of the square, pixels.
    """

    original_size: tuple[int, int]
    box: Box
    placement: Placement
    size: int

    def carry(
        self, cells: NDArray[np.float32], size: tuple[int, int] | None = None
    ) -> NDArray[np.float32]:
        """Carry a map of the square to the picture, by the formulas of this module.

        Args:
            cells: (h, w) float32, any range.
            size: (height, width) in which the picture is wanted; the original's where None.

        Returns:
            (height, width) float32 in the range of the cells; 0 where a pixel's centre lies
            outside the box.

        Raises:
            UsageError: no map of at least 1 x 1 cells, or a size that no picture has.
        """
        if cells.ndim != 2 or cells.size == 0:
            raise UsageError(f"map has shape {cells.shape}; (h, w) with one cell or more is needed")
        height, width = size_of_picture(self.original_size if size is None else size)
        x0, y0, x1, y1 = self.box
        top, left, rows, columns = self.placement
        down, first_row = _weights(
            _on_original(height, self.original_size[0]),
            (y0, y1),
            (top, rows),
            cells.shape[0] / self.size,
            cells.shape[0],
        )
        across, first_column = _weights(
            _on_original(width, self.original_size[1]),
            (x0, x1),
            (left, columns),
            cells.shape[1] / self.size,
            cells.shape[1],
        )
        carried = np.zeros((height, width), np.float32)
        inside = carried[
            first_row : first_row + len(down), first_column : first_column + len(across)
        ]
        np.matmul(down @ cells.astype(np.float32, copy=False), across.T, out=inside)
        return carried


def frame_of(decoded: DecodedImage, box: Box, spec: PreprocessSpec) -> Frame:
    """The frame of a picture that `prepare` crops to a box.

    Args:
        decoded: the picture, at whatever scale it was decoded.
        box: of the crop in the decoded pixels, half-open; the whole of them where nothing is cut.
        spec: of the pre-processing.
    """
    x0, y0, x1, y1 = box
    return Frame(
        original_size=decoded.original_size,
        box=decoded.to_original(box),
        placement=place_crop(y1 - y0, x1 - x0, spec),
        size=spec.size,
    )


def size_of_picture(size: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) itself, where a picture may have it.

    Raises:
        UsageError: a side below 1, or more pixels than any picture that is read.
    """
    height, width = size
    if min(height, width) < 1 or height * width > PIXEL_LIMIT:
        raise UsageError(
            f"size of {height} rows and {width} columns; sides of 1 or more and at most "
            f"{PIXEL_LIMIT} pixels are needed"
        )
    return height, width


def _on_original(pixels: int, original: int) -> NDArray[np.float64]:
    """(pixels,) centres of the pixels of another size, on the original's side."""
    # the product is exact, so that a centre on the box's edge is told by the quotient alone
    return (np.arange(pixels, dtype=np.float64) + 0.5) * original / pixels


def _weights(
    centres: NDArray[np.float64],
    box: tuple[int, int],
    placed: tuple[int, int],
    cells_per_pixel: float,
    cells: int,
) -> tuple[NDArray[np.float32], int]:
    """Weights (n, cells) of the n pixels whose centres lie in the box, and the first of them."""
    low, high = box
    start, span = placed
    first, stop = np.searchsorted(centres, box)
    on_square = start + (centres[first:stop] - low) * (span / (high - low))
    on_map = on_square * cells_per_pixel - 0.5
    # np.interp holds the outermost cells' values beyond their centres
    columns = [np.interp(on_map, np.arange(cells), cell) for cell in np.eye(cells)]
    return np.stack(columns, axis=1).astype(np.float32), int(first)
