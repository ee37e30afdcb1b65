"""Average precision and AUROC of one ranking, under any weighting of the images.

Sorting is what these two cost, and weights do not change an order: a ranking is made once and
measured under many weightings. Scores that tie form one step of both curves, as in scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """M scored decisions by falling score: one label's images, or all cells of a table.

    Attributes:
        images: (M,) image of each decision.
        truth: (M,) float64, 1 where the label is present.
        starts: (S,) position at which each run of equal scores begins, 0 first.
    """

    images: NDArray[np.intp]
    truth: Floats
    starts: NDArray[np.intp]

    @classmethod
    def of(
        cls, truth: NDArray[np.bool_], scores: NDArray[Any], images: NDArray[np.intp]
    ) -> Ranking:
        """Rank M decisions; all arguments (M,), scores finite."""
        order = np.argsort(-scores, kind="stable")
        falling = scores[order]
        starts = np.flatnonzero(np.append(True, falling[1:] != falling[:-1]))
        return cls(images[order], truth[order].astype(np.float64), starts)

    def measure(self, weights: Floats) -> tuple[Floats, Floats]:
        """Average precision and AUROC, each (R,), under weights (R, N); NaN where undefined."""
        if not len(self.images):
            undefined = np.full(len(weights), np.nan)
            return undefined, undefined
        called = np.take(weights, self.images, axis=1)
        positive = called * self.truth
        if len(self.starts) < len(self.images):
            called = np.add.reduceat(called, self.starts, axis=1)
            positive = np.add.reduceat(positive, self.starts, axis=1)
        negative = called - positive
        hits, reached = positive.cumsum(axis=1), called.cumsum(axis=1)
        all_positive = hits[:, -1].copy()
        all_negative = reached[:, -1] - all_positive
        precision = ratio(hits, reached, empty=0.0)
        # A positive outranks every negative after its step and half of those within it.
        outranked = all_negative[:, None] - (reached - hits) + 0.5 * negative
        return (
            ratio(np.einsum("rs,rs->r", positive, precision), all_positive),
            ratio(np.einsum("rs,rs->r", positive, outranked), all_positive * all_negative),
        )


def ratio(above: ArrayLike, below: ArrayLike, empty: float = np.nan) -> Floats:
    """Element-wise quotient, `empty` where the divisor is 0."""
    numerator, divisor = np.broadcast_arrays(
        np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    )
    quotient: Floats = np.full(divisor.shape, empty, dtype=np.float64)
    np.divide(numerator, divisor, out=quotient, where=divisor != 0)
    return quotient
