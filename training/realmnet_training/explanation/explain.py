"""Where in a picture the network sees a label: score maps and Grad-CAM++, on the original's pixels.

Both are maps of the last grid of tokens, 12 x 12 at 384 px: they say which twelfth of the picture
spoke, not which vessel. They show what moved this network, not what is diseased.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from realmnet_runtime.errors import UsageError
from realmnet_runtime.field_of_view import find_field_of_view
from realmnet_runtime.images import decode_image, read_image
from realmnet_runtime.preprocess import (
    Placement,
    PreprocessSpec,
    place_crop,
    prepare,
    to_tensor,
)
from realmnet_training.explanation.grad_cam import grad_cam_pp
from realmnet_training.model import RealMNet

Method = Literal["csra", "gradcam++"]
METHODS: Final[tuple[Method, ...]] = ("csra", "gradcam++")
Maps = NDArray[np.float32]


class Agreement(msgspec.Struct, frozen=True):
    """How alike two maps of one label in one picture are.

    Attributes:
        rank_correlation: Spearman's over the positions, -1..1; None where a map is constant.
        peak_distance: between the two maxima as a share of the map's longer side, 0 to about 1.4;
            None where a map is constant.
    """

    rank_correlation: float | None
    peak_distance: float | None


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
    box: tuple[int, int, int, int]
    placement: Placement
    size: int

    def carry(self, cells: Maps) -> Maps:
        """Carry a map of the square to the original's pixels, linear between the cells' centres.

        Args:
            cells: (h, w) float32; its cells divide the square evenly.

        Returns:
            (H, W) float32 of the original size, 0 outside the box.
        """
        x0, y0, x1, y1 = self.box
        top, left, rows, columns = self.placement
        down = _between(y1 - y0, top, rows, self.size, cells.shape[0])
        across = _between(x1 - x0, left, columns, self.size, cells.shape[1])
        carried = np.zeros(self.original_size, np.float32)
        carried[y0:y1, x0:x1] = down @ cells @ across.T
        return carried


@dataclass(frozen=True, eq=False)
class Opened:
    """A picture ready to be explained.

    Attributes:
        original: (H, W, 3) uint8 RGB, every pixel decoded.
        square: (S, S, 3) uint8 RGB, exactly as the network is given it.
        frame: where the square lies on the original.
    """

    original: NDArray[np.uint8]
    square: NDArray[np.uint8]
    frame: Frame


def open_picture(source: Path | bytes | NDArray[np.uint8], spec: PreprocessSpec) -> Opened:
    """Decode and prepare a picture as the device does, and keep the way back.

    Raises:
        MissingPath, ImageRefused, UsageError: as `decode_image` and `prepare`.
    """
    decoded = decode_image(source, model_size=spec.decode_size)
    height, width = decoded.pixels.shape[:2]
    aperture = None if spec.deborder == "off" else find_field_of_view(decoded.pixels)
    x0, y0, x1, y1 = (0, 0, width, height) if aperture is None else aperture.box
    whole = (height, width) == decoded.original_size
    return Opened(
        original=decoded.pixels if whole else read_image(source),
        square=prepare(decoded.pixels, spec, aperture),
        frame=Frame(
            original_size=decoded.original_size,
            box=decoded.to_original((x0, y0, x1, y1)),
            placement=place_crop(y1 - y0, x1 - x0, spec),
            size=spec.size,
        ),
    )


def explain_square(
    model: RealMNet,
    square: NDArray[np.uint8],
    spec: PreprocessSpec,
    labels: Sequence[int],
    methods: Collection[Method] = METHODS,
) -> dict[Method, Maps]:
    """Map one prepared picture for some labels.

    Args:
        model: in evaluation mode.
        square: (S, S, 3) uint8 RGB.
        spec: of the pre-processing.
        labels: (K,) numbers of the labels.
        methods: which maps.

    Returns:
        By method, (K, h, w) float32: `csra` the score maps, higher where a position speaks for
        the label; `gradcam++` 0..1.

    Raises:
        UsageError: as `grad_cam_pp`.
    """
    with torch.no_grad():
        tensor = torch.from_numpy(to_tensor(square, spec))[None].to(next(model.parameters()).device)
        features = model.features(tensor)
        maps = model.csra_head(features)[1][0].cpu().numpy()
    found: dict[Method, Maps] = {}
    if "csra" in methods:
        found["csra"] = maps[list(labels)]
    if "gradcam++" in methods:
        repeated = features.expand(len(labels), *features.shape[1:])
        found["gradcam++"] = grad_cam_pp(model.csra_head, repeated, labels)
    return found


def stretched(cells: Maps) -> Maps:
    """A map stretched to 0..1 for the eye; a constant one is all 0."""
    low, high = float(cells.min()), float(cells.max())
    if high <= low:
        return np.zeros_like(cells)
    answer: Maps = ((cells - low) / (high - low)).astype(np.float32)
    return answer


def compare_maps(first: Maps, second: Maps) -> Agreement:
    """Measure how alike two maps are; each may have its own scale.

    Args:
        first: (h, w).
        second: (h, w).

    Raises:
        UsageError: their shapes differ.
    """
    if first.shape != second.shape or first.ndim != 2:
        raise UsageError(
            f"maps of {first.shape} and {second.shape} positions; the same (h, w) is needed"
        )
    if np.ptp(first) == 0.0 or np.ptp(second) == 0.0:
        return Agreement(None, None)
    correlation: Any = spearmanr(first.ravel(), second.ravel())
    peaks = [np.array(np.unravel_index(np.argmax(cells), cells.shape)) for cells in (first, second)]
    return Agreement(
        rank_correlation=float(correlation.statistic),
        peak_distance=float(np.linalg.norm(peaks[0] - peaks[1])) / max(first.shape),
    )


def agreement_of(maps: Mapping[Method, Maps], index: int) -> Agreement | None:
    """Agreement of the two methods on the label at `index`; None where only one was asked for."""
    if len(maps) < len(METHODS):
        return None
    first, second = (maps[method][index] for method in METHODS)
    return compare_maps(first, second)


def _between(pixels: int, start: int, span: int, size: int, cells: int) -> NDArray[np.float32]:
    """(pixels, cells) weights of linear interpolation, from the crop's side to the map's."""
    on_square = start + (np.arange(pixels) + 0.5) * span / pixels
    on_map = on_square * cells / size - 0.5
    # np.interp holds the outermost cells' values beyond their centres
    columns = [np.interp(on_map, np.arange(cells), cell) for cell in np.eye(cells)]
    return np.stack(columns, axis=1).astype(np.float32)
