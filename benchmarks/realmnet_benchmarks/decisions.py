"""From scores to decisions: the thresholds and the top-2 rule that the paper logs.

The released code calls a score at or above the threshold positive for precision, recall and F1,
and for Hamming loss only one strictly above it. Both are kept (RealMNet, npj Digital Medicine
2025, Methods).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmnet_runtime.errors import UsageError


@dataclass(frozen=True)
class TopK:
    """Call the `k` highest labels of each image positive, whatever their scores.

    Of labels that tie for the last place the first in label order is called, so that an image
    always has `k`. The released code leaves such ties to `torch.topk`, which promises no order:
    figures on scores with ties can differ from its, on others they do not.
    """

    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"top {self.k} labels were asked for; ask for 1 or more")

    def __str__(self) -> str:
        return f"top {self.k}"


DecisionRule = ArrayLike | TopK
"""One threshold in [0, 1], one for each label (L,), or `TopK`."""

PAPER_RULES: Final[tuple[float | TopK, ...]] = (0.5, 0.6, 0.7, 0.8, TopK(2))
"""What the released code logs; the paper prints the first."""

Decisions = NDArray[np.bool_]


def decide(scores: NDArray[np.floating[Any]], rule: DecisionRule) -> tuple[Decisions, Decisions]:
    """Decide every label of every image.

    Args:
        scores: (N, L) finite, in [0, 1].
        rule: thresholds are compared in the dtype of the scores.

    Returns:
        Two (N, L): positive for precision, recall and F1 (score >= threshold), and for Hamming
        loss (score > threshold). `TopK` decides both alike.

    Raises:
        UsageError: thresholds of another shape, not finite or outside [0, 1], or more labels
            called than there are.
    """
    if isinstance(rule, TopK):
        top = _top(scores, rule)
        return top, top
    thresholds = np.asarray(rule, dtype=scores.dtype)
    labels = scores.shape[1]
    if thresholds.shape not in ((), (labels,)):
        raise UsageError(
            f"thresholds have shape {thresholds.shape}; expected one number or ({labels},)"
        )
    if not (np.isfinite(thresholds) & (thresholds >= 0) & (thresholds <= 1)).all():
        raise UsageError("a threshold is not a finite number in [0, 1]")
    return scores >= thresholds, scores > thresholds


def _top(scores: NDArray[np.floating[Any]], rule: TopK) -> Decisions:
    if rule.k > scores.shape[1]:
        raise UsageError(
            f"{rule} labels were asked for and there are {scores.shape[1]}; ask for fewer"
        )
    called = np.argsort(-scores, axis=1, kind="stable")[:, : rule.k]
    decisions = np.zeros(scores.shape, dtype=np.bool_)
    np.put_along_axis(decisions, called, True, axis=1)
    return decisions
