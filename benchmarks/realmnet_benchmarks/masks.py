"""Agreement of masks: pixel accuracy and intersection over union, from counts of pixels.

Both are over the pixels of all pictures together, as segmentation work reports them (the paper,
Methods; it prints accuracy and mIoU). A set of many good pictures hides a bad one there, so the
worst picture is said beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.errors import UsageError

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MaskMetrics:
    """How well masks agree with the truth; fractions.

    Attributes:
        images: pictures that were counted.
        pixel_accuracy: pixels of all pictures whose class is right.
        iou_inside: intersection over union of the true class, NaN where neither has a pixel of it.
        iou_outside: the same of the false class.
        mean_iou: mean of the two, of those that are no NaN.
        worst_iou_inside: `iou_inside` of the worst single picture.
    """

    images: int
    pixel_accuracy: float
    iou_inside: float
    iou_outside: float
    mean_iou: float
    worst_iou_inside: float


def mask_counts(truth: Mask, answer: Mask) -> Counts:
    """Count the pixels of one picture by true and answered class.

    Args:
        truth: (H, W) bool.
        answer: (H, W) bool.

    Returns:
        (2, 2) int64: row by the truth, column by the answer, false first.

    Raises:
        UsageError: another shape or type, or masks of two sizes.
    """
    for name, mask in (("truth", truth), ("answer", answer)):
        if mask.ndim != 2 or mask.dtype != np.bool_:
            raise UsageError(
                f"{name} has shape {mask.shape} and type {mask.dtype}; (H, W) bool is needed"
            )
    if truth.shape != answer.shape:
        raise UsageError(
            f"truth of {truth.shape} and answer of {answer.shape} rows and columns; "
            "both must be of one picture"
        )
    both = int(np.count_nonzero(truth & answer))
    true, answered = int(np.count_nonzero(truth)), int(np.count_nonzero(answer))
    neither = truth.size - true - answered + both
    return np.array([[neither, answered - both], [true - both, both]], np.int64)


def mask_metrics(counts: Iterable[Counts]) -> MaskMetrics:
    """Metrics of a set of pictures.

    Args:
        counts: (2, 2) of each picture, from `mask_counts`.

    Raises:
        UsageError: no picture, or a picture without a pixel.
    """
    each = np.array(list(counts), np.int64).reshape(-1, 2, 2)
    if not len(each) or not each.sum(axis=(1, 2)).all():
        raise UsageError("no picture, or one without a pixel, was counted; give at least one")
    whole = each.sum(axis=0)
    outside, inside = _ious(whole)
    defined = [value for value in (outside, inside) if not np.isnan(value)]
    each_inside = [_ious(one)[1] for one in each]
    worst = float("nan") if np.isnan(each_inside).all() else float(np.nanmin(each_inside))
    return MaskMetrics(
        images=len(each),
        pixel_accuracy=float(np.trace(whole) / whole.sum()),
        iou_inside=inside,
        iou_outside=outside,
        mean_iou=float(np.mean(defined)),
        worst_iou_inside=worst,
    )


def _ious(counts: Counts) -> tuple[float, float]:
    hit = np.diagonal(counts)
    union = counts.sum(axis=0) + counts.sum(axis=1) - hit
    outside, inside = (float(h / u) if u else float("nan") for h, u in zip(hit, union, strict=True))
    return outside, inside
