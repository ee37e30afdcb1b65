"""De-bordering: the retina's aperture in a picture as the camera or the hospital saved it.

Both kinds of picture of the RealMNet paper (npj Digital Medicine 2025, Table A3) are covered:
those with a black surround and those in which lids, lashes and the instrument's own rim frame
the retina. Classical vision only: the same picture always gives the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.aperture._aperture import aperture_outline
from realmnet_runtime.aperture._surround import WorkingCopy, lit_part
from realmnet_runtime.boxes import Box, scale_box
from realmnet_runtime.errors import NoFieldOfView, UsageError

_SMALLEST_SIDE = 32
_SMALLEST_LIT_SIDE = 16
_AREAS = 16
_LEAST_CONTRAST = 3.0
_LARGEST_ROUGHNESS = 0.5
_PAPER_WHITE = 150.0
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, eq=False)
class FieldOfView:
    """Where the retina's aperture lies in one picture.

    Attributes:
        box: (x0, y0, x1, y1) pixels of the picture, half-open: the smallest box of the aperture.
        mask: (H, W) bool, read-only, true inside the aperture.

    Raises:
        UsageError: the mask is not a picture's, or the box is empty or outside it.
    """

    box: Box
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Refuse a box and mask that cannot belong to one picture."""
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_:
            raise UsageError(
                f"mask has shape {self.mask.shape} and type {self.mask.dtype}; "
                "(H, W) bool is needed"
            )
        height, width = self.mask.shape
        x0, y0, x1, y1 = self.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise UsageError(
                f"box {self.box} is empty or leaves the picture; "
                f"0 <= x0 < x1 <= {width} and 0 <= y0 < y1 <= {height} are needed"
            )
        if not self.mask[y0:y1, x0:x1].any():
            raise UsageError(f"mask is empty inside box {self.box}; an aperture has an area")
        self.mask.setflags(write=False)

    def scaled_to(self, height: int, width: int) -> FieldOfView:
        """The same answer in the pixels of another size of the same picture.

        Args:
            height: rows of the other size, at least 1.
            width: columns of the other size, at least 1.

        Returns:
            The box with each side at the nearest pixel and at least one pixel apart; the mask by
            nearest neighbour.

        Raises:
            UsageError: a size below 1.
        """
        if height < 1 or width < 1:
            raise UsageError(
                f"cannot scale a field of view to {width} x {height}; use 1 x 1 or more"
            )
        rows, columns = self.mask.shape
        if (rows, columns) == (height, width):
            return self
        x0, y0, x1, y1 = scale_box(self.box, (rows, columns), (height, width))
        mask = cv2.resize(
            self.mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
        ).astype(np.bool_)
        if not mask[y0:y1, x0:x1].any():
            # A sliver can fall between the samples of a far smaller picture.
            mask[y0:y1, x0:x1] = True
        return FieldOfView(box=(x0, y0, x1, y1), mask=mask)


def find_field_of_view(image: NDArray[np.uint8]) -> FieldOfView:
    """Find the retina's aperture.

    Args:
        image: (H, W, 3) uint8 RGB, any size from 32 pixels a side and any aspect.

    Returns:
        The aperture's box and mask in pixels of the image. A picture that the retina fills to its
        edges is its own aperture.

    Raises:
        UsageError: the array is not (H, W, 3) uint8.
        NoFieldOfView: too small, black, blank, a page, or noise; the message says which.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UsageError(
            f"image has shape {image.shape} and type {image.dtype}; (H, W, 3) uint8 RGB is needed"
        )
    height, width = image.shape[:2]
    if min(height, width) < _SMALLEST_SIDE:
        raise NoFieldOfView(
            f"no field of view: the picture is {width} x {height} pixels, "
            f"at least {_SMALLEST_SIDE} a side are needed"
        )
    copy, lit = lit_part(image)
    _refuse_non_pictures(copy, lit)
    outline = aperture_outline(copy, lit)
    mask = _filled(outline, height, width)
    x0, y0, span_x, span_y = cv2.boundingRect(mask)
    return FieldOfView(box=(x0, y0, x0 + span_x, y0 + span_y), mask=mask.view(np.bool_))


def _filled(outline: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    # OpenCV counts from pixel centres and also draws the pixels an edge passes through.
    centre = (outline.min(axis=0) + outline.max(axis=0)) / 2.0
    drawn = outline - 0.5 - 0.5 * np.sign(outline - centre)
    fixed = np.round(drawn * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, (1,), lineType=cv2.LINE_8, shift=_SUBPIXEL_BITS)
    return mask


def _refuse_non_pictures(copy: WorkingCopy, lit: NDArray[np.float32]) -> None:
    x0, y0 = np.floor((lit.min(axis=0) - copy.origin) / copy.factor).astype(int)
    x1, y1 = np.ceil((lit.max(axis=0) - copy.origin) / copy.factor).astype(int)
    part = copy.picture[y0:y1, x0:x1]
    if min(part.shape[:2]) < _SMALLEST_LIT_SIDE:
        raise NoFieldOfView(
            f"no field of view: the lit part of the picture is {(x1 - x0) * copy.factor} x "
            f"{(y1 - y0) * copy.factor} pixels, too small or too narrow for a retina"
        )
    green = np.ascontiguousarray(part[..., 1])
    contrast = _contrast_between_areas(green)
    roughness = float(cv2.absdiff(green[:, 1:], green[:, :-1]).mean())
    if contrast < _LEAST_CONTRAST and roughness < _LEAST_CONTRAST:
        raise NoFieldOfView(
            f"no field of view: the picture is blank (its areas differ by {contrast:.1f} of 255)"
        )
    palest = float(np.median(part[::8, ::8].min(axis=2)))
    if palest > _PAPER_WHITE:
        raise NoFieldOfView(
            f"no field of view: most of the picture is white (its palest channel's median is "
            f"{palest:.0f} of 255), as a page or a screen is and a retina is not"
        )
    if roughness > _LARGEST_ROUGHNESS * contrast:
        raise NoFieldOfView(
            f"no field of view: the picture is noise (neighbouring pixels differ by "
            f"{roughness:.1f}, whole areas by {contrast:.1f} of 255)"
        )


def _contrast_between_areas(green: NDArray[np.uint8]) -> float:
    """Standard deviation over 16 by 16 areas, in grey levels."""
    rows, columns = (side // _AREAS for side in green.shape)
    whole = green[: rows * _AREAS, : columns * _AREAS]
    return float(cv2.resize(whole, (_AREAS, _AREAS), interpolation=cv2.INTER_AREA).std())
