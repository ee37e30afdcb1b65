"""Bootstrap intervals by patient: whole patients are drawn, with all their images.

Images of one patient resemble each other, so resampling single images, as the paper does, claims
more certainty than there is. A replicate is a weighting of the images: how often each one's patient
was drawn. Statistics take a batch of weightings at once. The paper's own intervals, by image, are
in `image_bootstrap`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmnet_benchmarks.decisions import DecisionRule
from realmnet_benchmarks.metrics import Floats, RankedScores
from realmnet_runtime.errors import UsageError

Statistic = Callable[[Floats], Mapping[str, Floats]]
"""From weights (R, N) to named values, each (R,) or (R, L)."""

_BATCH: Final = 100


@dataclass(frozen=True)
class Interval:
    """A statistic and its percentile interval; all of shape (), or (L,) for per-label ones.

    Attributes:
        estimate: the value on the images as they are.
        low, high: percentiles of the replicates in which the value exists; NaN if in none.
        undefined: replicates without a value, such as a draw without a positive image.
    """

    estimate: Floats
    low: Floats
    high: Floats
    undefined: NDArray[np.int64]

    def of(self, part: int | slice) -> Interval:
        """The interval of one label, or of a range of them."""
        return Interval(
            estimate=np.asarray(self.estimate[part]),
            low=np.asarray(self.low[part]),
            high=np.asarray(self.high[part]),
            undefined=np.asarray(self.undefined[part]),
        )


def bootstrap(
    statistic: Statistic,
    patients: ArrayLike,
    *,
    replicates: int = 1_000,
    level: float = 0.95,
    seed: int = 42,
) -> dict[str, Interval]:
    """Percentile intervals of a statistic under resampling of patients.

    Args:
        statistic: from weights (R, N) to named values; weights of ones give the estimate.
        patients: (N,) identifier of each image's patient.
        replicates: number of resamples, at least 2.
        level: share of the replicates inside the interval, between 0 and 1.
        seed: of the draws; the same seed draws the same patients for every statistic.

    Raises:
        UsageError: no image, fewer than 2 replicates, or a level outside (0, 1).
    """
    groups = np.asarray(patients)
    if groups.ndim != 1 or not len(groups):
        raise UsageError(f"patients have shape {groups.shape}; expected (N,) with an image or more")
    if replicates < 2 or not 0 < level < 1:
        raise UsageError(
            f"{replicates} replicates at level {level}; expected 2 or more and a level in (0, 1)"
        )
    estimate = statistic(np.ones((1, len(groups))))
    batches = [statistic(weights) for weights in _weightings(groups, replicates, seed)]
    return {
        name: _interval(value[0], np.concatenate([batch[name] for batch in batches]), level)
        for name, value in estimate.items()
    }


def metric_intervals(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: ArrayLike,
    *,
    threshold: DecisionRule = 0.5,
    known: ArrayLike | None = None,
    replicates: int = 1_000,
    level: float = 0.95,
    seed: int = 42,
) -> dict[str, Interval]:
    """Intervals of every metric of `multilabel_metrics`, by its name; arguments as there.

    Raises:
        UsageError: as `multilabel_metrics` and `bootstrap`, or patients of another length.
    """
    ranked = RankedScores.rank(labels, scores, threshold, known=known)
    return bootstrap(ranked.evaluate, patients, replicates=replicates, level=level, seed=seed)


def paired_difference(
    labels: ArrayLike,
    old: ArrayLike,
    new: ArrayLike,
    patients: ArrayLike,
    *,
    threshold: DecisionRule = 0.5,
    known: ArrayLike | None = None,
    replicates: int = 1_000,
    level: float = 0.95,
    seed: int = 42,
) -> dict[str, Interval]:
    """Intervals of the differences new - old in every metric, both on the same draws.

    Pairing removes what the images contribute to both, so that the interval is about the models.

    Args:
        labels: (N, L) of 0 and 1.
        old: (N, L) probabilities of the one model.
        new: (N, L) probabilities of the other for the same images.
        patients: (N,) identifiers.
        threshold: of both, one number, (L,) or `TopK`.
        known: (N, L) bool; None where all labels are.
        replicates: as `bootstrap`.
        level: as `bootstrap`.
        seed: as `bootstrap`.

    Raises:
        UsageError: as `metric_intervals`.
    """
    before, after = (
        RankedScores.rank(labels, scores, threshold, known=known) for scores in (old, new)
    )

    def difference(weights: Floats) -> dict[str, Floats]:
        first, second = before.evaluate(weights), after.evaluate(weights)
        return {name: second[name] - first[name] for name in first}

    return bootstrap(difference, patients, replicates=replicates, level=level, seed=seed)


def _weightings(groups: NDArray[np.generic], replicates: int, seed: int) -> Iterator[Floats]:
    """Batches of (R, N): as many patients as there are, drawn with replacement."""
    rng = np.random.default_rng(seed)
    index = np.unique(groups, return_inverse=True)[1]
    count = int(index.max()) + 1
    for start in range(0, replicates, _BATCH):
        size = min(_BATCH, replicates - start)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=size)
        yield drawn[:, index].astype(np.float64)


def _interval(estimate: Floats, values: Floats, level: float) -> Interval:
    missing = np.isnan(values)
    undefined = missing.sum(axis=0, dtype=np.int64)
    nowhere = undefined == len(values)
    # nanquantile warns about a column without any value; what it would say is in `undefined`.
    filled = np.where(nowhere, 0.0, values)
    low, high = np.nanquantile(filled, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(
        estimate=np.asarray(estimate, dtype=np.float64),
        low=np.where(nowhere, np.nan, low),
        high=np.where(nowhere, np.nan, high),
        undefined=np.asarray(undefined),
    )
