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

from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.errors import UsageError
from realmnet_runtime.pictures.frame import Frame, frame_of
from realmnet_runtime.pictures.images import decode_image, read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, prepare, to_tensor
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
    whole = (height, width) == decoded.original_size
    return Opened(
        original=decoded.pixels if whole else read_image(source),
        square=prepare(decoded.pixels, spec, aperture),
        frame=frame_of(decoded, (0, 0, width, height) if aperture is None else aperture.box, spec),
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
