"""The paper's intervals, by image: comparable with its tables, narrower than the truth.

RealMNet (npj Digital Medicine 2025, Methods) draws 1,000 replicates of n = 1,000 test images with
replacement. Its text gives mean +- 1.96 SD of the replicates; the "+-" of its Tables 1 to 3 is
SD / sqrt(1000), which shrinks with the number of replicates and says nothing of the images. Images
of one patient resemble each other and n is not the size of the test set: for a claim about a model
use the intervals by patient in `bootstrap`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from realmnet_benchmarks.bootstrap import Statistic
from realmnet_benchmarks.decisions import DecisionRule
from realmnet_benchmarks.metrics import Floats, RankedScores
from realmnet_benchmarks.ranking import ratio
from realmnet_runtime.errors import UsageError

PAPER_REPLICATES: Final = 1_000
PAPER_IMAGES: Final = 1_000

_Z: Final = 1.96
_BATCH: Final = 100


@dataclass(frozen=True, eq=False)
class ImageReplicates:
    """One statistic under draws of single images; all properties () or, per label, (L,).

    Replicates without a value, such as a draw without a positive, are NaN and left out.

    Attributes:
        estimate: the value on the images as they are.
        values: (R,) or (R, L), of each replicate.
    """

    estimate: Floats
    values: Floats

    @property
    def defined(self) -> NDArray[np.int64]:
        """Number of replicates with a value."""
        return np.asarray((~np.isnan(self.values)).sum(axis=0), dtype=np.int64)

    @property
    def mean(self) -> Floats:
        """Mean of the replicates; NaN if none has a value."""
        return ratio(np.nansum(self.values, axis=0), self.defined)

    @property
    def sd(self) -> Floats:
        """Standard deviation of the replicates, with divisor R - 1; NaN for fewer than two."""
        squares = np.nansum((self.values - self.mean) ** 2, axis=0)
        return np.sqrt(ratio(squares, np.maximum(self.defined - 1, 0)))

    @property
    def low(self) -> Floats:
        """Mean - 1.96 SD, the lower bound of the paper's text."""
        return np.asarray(self.mean - _Z * self.sd)

    @property
    def high(self) -> Floats:
        """Mean + 1.96 SD, the upper bound of the paper's text."""
        return np.asarray(self.mean + _Z * self.sd)

    @property
    def table_error(self) -> Floats:
        """SD / sqrt(R), the "+-" of the paper's Tables 1 to 3."""
        return ratio(self.sd, np.sqrt(self.defined))


def image_bootstrap(
    statistic: Statistic,
    images: int,
    *,
    replicates: int = PAPER_REPLICATES,
    drawn: int = PAPER_IMAGES,
    seed: int = 42,
) -> dict[str, ImageReplicates]:
    """Replicates of a statistic under resampling of images, as the paper does.

    Args:
        statistic: from weights (R, N) to named values; weights of ones give the estimate.
        images: number of images, N.
        replicates: number of resamples, at least 2.
        drawn: images of each resample. With replacement, so it may exceed N; the spread is then
            that of a larger test set than there is.
        seed: of the draws; the same seed draws the same images for every statistic of N images.

    Raises:
        UsageError: no image, fewer than 2 replicates, or nothing drawn.
    """
    if images < 1 or replicates < 2 or drawn < 1:
        raise UsageError(
            f"{replicates} replicates of {drawn} from {images} images; expected 2 or more of 1 or"
            " more from 1 or more"
        )
    estimate = statistic(np.ones((1, images)))
    batches = [statistic(weights) for weights in _weightings(images, drawn, replicates, seed)]
    return {
        name: ImageReplicates(
            estimate=np.asarray(value[0], dtype=np.float64),
            values=np.concatenate([batch[name] for batch in batches]),
        )
        for name, value in estimate.items()
    }


def metric_replicates_by_image(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    threshold: DecisionRule = 0.5,
    known: ArrayLike | None = None,
    replicates: int = PAPER_REPLICATES,
    drawn: int = PAPER_IMAGES,
    seed: int = 42,
) -> dict[str, ImageReplicates]:
    """Replicates by image of every metric of `multilabel_metrics`, by its name; arguments as there.

    Raises:
        UsageError: as `multilabel_metrics` and `image_bootstrap`.
    """
    ranked = RankedScores.rank(labels, scores, threshold, known=known)
    return image_bootstrap(
        ranked.evaluate, ranked.images, replicates=replicates, drawn=drawn, seed=seed
    )


def t_test_of_replicates(first: ImageReplicates, second: ImageReplicates) -> Floats:
    """P of the paper's two-sided t-test between two models' replicates, () or (L,).

    For comparison with the paper only. Replicates are no observations: they are drawn from the
    same images, so that P falls towards 0 for any difference as more are drawn. Whether two models
    differ is answered by `bootstrap.paired_difference`: whether its interval leaves out 0.

    Returns:
        P in [0, 1] of Student's test with equal variances; NaN where a model has fewer than two
        values or neither varies.

    Raises:
        UsageError: replicates of statistics of different shapes.
    """
    if first.values.shape[1:] != second.values.shape[1:]:
        raise UsageError(
            f"replicates have shapes {first.values.shape} and {second.values.shape}; compare one"
            " statistic of two models"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        found = stats.ttest_ind_from_stats(
            first.mean, first.sd, first.defined, second.mean, second.sd, second.defined
        )
    return np.asarray(found.pvalue, dtype=np.float64)


def _weightings(images: int, drawn: int, replicates: int, seed: int) -> Iterator[Floats]:
    """Batches of (R, N): how often each image was drawn."""
    rng = np.random.default_rng(seed)
    for start in range(0, replicates, _BATCH):
        size = min(_BATCH, replicates - start)
        cells = rng.integers(images, size=(size, drawn)) + images * np.arange(size)[:, None]
        counts = np.bincount(cells.ravel(), minlength=size * images)
        yield counts.reshape(size, images).astype(np.float64)
