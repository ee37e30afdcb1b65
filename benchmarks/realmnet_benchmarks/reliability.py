"""Reliability curves and calibration error: whether 70 % means seven of ten.

Scores of a label are put in bins; in each, the mean score is set against the observed share of
positives. The expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015) is the mean
distance of the two, weighted by the number of images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from realmnet_benchmarks.bootstrap import Interval, bootstrap
from realmnet_benchmarks.metrics import Floats, validated
from realmnet_benchmarks.ranking import ratio
from realmnet_runtime.errors import UsageError

Binning = Literal["equal_width", "equal_count"]
"""Bins of equal width on [0, 1], or with about equally many images of a label each."""

_BINS: Final = 10


@dataclass(frozen=True, eq=False)
class ReliabilityCurves:
    """The curve of each label; where a bin is empty its values are NaN and its count 0.

    Attributes:
        edges: (L, B + 1) of the bins, rising; an image on an inner edge is in the bin below.
        count: (L, B) images in each bin.
        mean_score: (L, B) their mean score.
        observed: (L, B) their share of positives.
        low, high: (L, B) Wilson interval of `observed`, as if images were independent.
        error_per_label: (L,) expected calibration error, in [0, 1].
        error_macro: its mean over labels.
    """

    edges: Floats
    count: NDArray[np.int64]
    mean_score: Floats
    observed: Floats
    low: Floats
    high: Floats
    error_per_label: Floats
    error_macro: float


def reliability_curves(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    bins: int = _BINS,
    binning: Binning = "equal_width",
    level: float = 0.95,
) -> ReliabilityCurves:
    """Curve and calibration error of every label.

    Args:
        labels: (N, L) of 0 and 1.
        scores: (N, L) probabilities in [0, 1].
        bins: number of bins, at least 1. Equal scores share a bin, so that with `equal_count` a
            bin can be empty.
        binning: `equal_width`, as curves are usually drawn, or `equal_count`, which measures rare
            labels better because few of their scores are high.
        level: of the Wilson intervals, between 0 and 1.

    Raises:
        UsageError: as `multilabel_metrics`, no bin, another binning, or a level outside (0, 1).
    """
    if not 0 < level < 1:
        raise UsageError(f"level {level}; expected one in (0, 1)")
    binned = BinnedScores.bin(labels, scores, bins=bins, binning=binning)
    values = {name: rows[0] for name, rows in binned.evaluate(np.ones((1, binned.images))).items()}
    low, high = wilson_interval(values["observed"] * values["count"], values["count"], level)
    return ReliabilityCurves(
        edges=binned.edges,
        count=values["count"].astype(np.int64),
        mean_score=values["mean_score"],
        observed=values["observed"],
        low=low,
        high=high,
        error_per_label=values["error_per_label"],
        error_macro=float(values["error_macro"]),
    )


def calibration_intervals(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: ArrayLike,
    *,
    bins: int = _BINS,
    binning: Binning = "equal_width",
    replicates: int = 1_000,
    level: float = 0.95,
    seed: int = 42,
) -> dict[str, Interval]:
    """Intervals by patient of `observed`, `mean_score`, `error_per_label` and `error_macro`.

    Bins stay those of the images as they are. A calibration error is a sum of distances, which
    noise lengthens: replicates lie above the estimate on the whole, and `low` may too. `high` is a
    cautious upper bound.

    Raises:
        UsageError: as `reliability_curves` and `bootstrap`, or patients of another length.
    """
    binned = BinnedScores.bin(labels, scores, bins=bins, binning=binning)
    intervals = bootstrap(binned.evaluate, patients, replicates=replicates, level=level, seed=seed)
    del intervals["count"]
    return intervals


@dataclass(frozen=True, eq=False)
class BinnedScores:
    """Labels and scores in bins, to be measured under any weighting of the images.

    Attributes:
        edges: (L, B + 1).
        members: (N, L x B) float64, 1 where an image is in a bin.
        truth: (N, L) bool.
        scores: (N, L) float64.
    """

    edges: Floats
    members: Floats
    truth: NDArray[np.bool_]
    scores: Floats

    @classmethod
    def bin(
        cls,
        labels: ArrayLike,
        scores: ArrayLike,
        *,
        bins: int = _BINS,
        binning: Binning = "equal_width",
    ) -> BinnedScores:
        """Validate and bin; arguments and errors as `reliability_curves`."""
        truth, values = validated(labels, scores)
        if bins < 1:
            raise UsageError(f"{bins} bins were asked for; ask for 1 or more")
        edges = _edges(values.astype(np.float64), bins, binning)
        members = np.zeros((*truth.shape, bins))
        for label, column in enumerate(values.T):
            places = np.searchsorted(edges[label, 1:-1], column)
            members[np.arange(len(truth)), label, places] = 1.0
        return cls(
            edges=edges,
            members=members.reshape(len(truth), -1),
            truth=truth,
            scores=values.astype(np.float64),
        )

    @property
    def images(self) -> int:
        """Number of images, N."""
        return int(self.truth.shape[0])

    def evaluate(self, weights: Floats) -> dict[str, Floats]:
        """Curve and error under each row of weights (R, N), by name.

        Returns:
            `count`, `observed`, `mean_score` (R, L, B); `error_per_label` (R, L); `error_macro`
            (R,).

        Raises:
            UsageError: weights of another shape.
        """
        if weights.ndim != 2 or weights.shape[1] != self.images:
            raise UsageError(
                f"weights have shape {weights.shape}; expected (replicates, {self.images})"
            )
        shape = (len(weights), *self.truth.shape[1:], -1)
        bins = self.edges.shape[1] - 1
        count = (weights @ self.members).reshape(shape)
        positives = weights @ (self.members * self.truth.repeat(bins, axis=1))
        score_sums = weights @ (self.members * self.scores.repeat(bins, axis=1))
        gaps = np.abs(positives - score_sums).reshape(shape).sum(axis=2)
        error = ratio(gaps, weights.sum(axis=1, keepdims=True))
        return {
            "count": count,
            "observed": ratio(positives.reshape(shape), count),
            "mean_score": ratio(score_sums.reshape(shape), count),
            "error_per_label": error,
            "error_macro": error.mean(axis=1),
        }


def wilson_interval(
    positives: ArrayLike, count: ArrayLike, level: float = 0.95
) -> tuple[Floats, Floats]:
    """Wilson's score interval of a share (JASA 1927), element by element; NaN where count is 0.

    Args:
        positives: number of positives, in [0, count].
        count: number of trials.
        level: between 0 and 1.
    """
    z = float(ndtri(0.5 + level / 2))
    trials = np.asarray(count, dtype=np.float64)
    share = ratio(positives, trials)
    centre = ratio(share * trials + z**2 / 2, trials + z**2)
    half = ratio(z * np.sqrt(share * (1 - share) * trials + z**2 / 4), trials + z**2)
    # Rounding must not leave [0, 1] where the share is 0 or 1.
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)


def _edges(scores: Floats, bins: int, binning: str) -> Floats:
    """(L, B + 1)."""
    parts = np.linspace(0.0, 1.0, bins + 1)
    if binning == "equal_width":
        return np.tile(parts, (scores.shape[1], 1))
    if binning == "equal_count":
        quantiles: NDArray[Any] = np.quantile(scores, parts, axis=0)
        return np.asarray(quantiles.T, dtype=np.float64)
    raise UsageError(f"binning '{binning}'; expected equal_width or equal_count")
