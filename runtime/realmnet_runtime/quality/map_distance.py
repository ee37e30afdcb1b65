"""How far a picture's score maps lie from those of the development pictures.

What the network answers is all it can say about a picture it has never seen the like of; the maps
are an output of the same pass, so this costs no second one. Squared Mahalanobis distance with a
shrunk covariance: Ledoit and Wolf, Journal of Multivariate Analysis 88 (2004) 365-411.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.errors import UsageError
from realmnet_runtime.quality.limits import REGIONS, ScoreMapTable

LEAST_PICTURES: Final = 100
"""Fewer say nothing of the last percent of a site's pictures."""

QUANTILE: Final = 0.995

_FOLDS: Final = 5
_TO_STANDARD_DEVIATION: Final = 1.4826  # of the median absolute deviation of normal values
_LEAST_SPREAD: Final = 1e-6

Statistics = NDArray[np.float64]


def score_map_statistics(score_maps: NDArray[np.float32]) -> Statistics:
    """Mean of each of 3 x 3 regions of each label's map.

    Args:
        score_maps: (L, h, w) float32.

    Returns:
        (9 L,) float64, label by label, regions row by row.
    """
    _, height, width = score_maps.shape
    regions = [
        score_maps[:, rows, columns].mean(axis=(1, 2), dtype=np.float64)
        for rows in _parts(height)
        for columns in _parts(width)
    ]
    return np.stack(regions, axis=1).ravel()


def map_distance(table: ScoreMapTable, statistics: Statistics) -> float:
    """Distance of one picture's statistics, (D,), from the table's: about 1 for familiar ones."""
    centre, spread, precision = _arrays(table)
    scaled = (statistics - centre) / spread
    # Written out, since a matrix product would wake the threads of a linear-algebra library.
    squared = float((precision * np.multiply.outer(scaled, scaled)).sum())
    # Rounding of the precision matrix can take a distance of next to nothing below nothing.
    return float(np.sqrt(max(0.0, squared) / len(scaled)))


def fit_table(variant: str, statistics: Statistics) -> ScoreMapTable:
    """The table of development pictures.

    The limit is the 99.5 % quantile of distances measured out of sample, five folds in turn, each
    by the other four; of fewer than two hundred pictures that is the largest distance.

    Args:
        variant: whose maps.
        statistics: (N, 9 L) of the pictures, as `score_map_statistics` gives them.

    Raises:
        UsageError: fewer than `LEAST_PICTURES`.
    """
    count = len(statistics)
    if count < LEAST_PICTURES:
        raise UsageError(
            f"{count} pictures with score maps; {LEAST_PICTURES} or more are needed to fit on"
        )
    fold = np.arange(count) % _FOLDS
    distances = np.empty(count)
    for held in range(_FOLDS):
        part = _fitted(variant, statistics[fold != held], 1.0)
        distances[fold == held] = [map_distance(part, row) for row in statistics[fold == held]]
    most = float(np.quantile(distances, QUANTILE, method="higher"))
    return _fitted(variant, statistics, most)


def shrunk_covariance(values: Statistics) -> Statistics:
    """Ledoit and Wolf's estimate: the covariance, drawn towards a multiple of the identity.

    Args:
        values: (N, D), N of 2 or more.

    Returns:
        (D, D) float64, symmetric, positive definite unless all values are equal.
    """
    count, size = values.shape
    centred = values - values.mean(axis=0)
    sample = centred.T @ centred / count
    target = float(np.trace(sample)) / size
    away = float(((sample - target * np.eye(size)) ** 2).sum())
    noise = float(((centred**2).T @ (centred**2)).sum()) / count - float((sample**2).sum())
    share = min(1.0, noise / count / away) if away > 0.0 else 1.0
    return np.asarray((1.0 - share) * sample + share * target * np.eye(size), np.float64)


def _fitted(variant: str, statistics: Statistics, most_distance: float) -> ScoreMapTable:
    centre = np.median(statistics, axis=0)
    deviation = np.median(np.abs(statistics - centre), axis=0)
    spread = np.maximum(_TO_STANDARD_DEVIATION * deviation, _LEAST_SPREAD)
    covariance = shrunk_covariance((statistics - centre) / spread)
    # Pictures that are all alike have no covariance to invert.
    covariance += _LEAST_SPREAD * np.eye(len(centre))
    precision = np.linalg.inv(covariance)
    return ScoreMapTable(
        variant=variant,
        centre=_floats(centre),
        spread=_floats(spread),
        precision=tuple(_floats(row[: i + 1]) for i, row in enumerate(precision)),
        most_distance=max(most_distance, _LEAST_SPREAD),
    )


@lru_cache(maxsize=8)
def _arrays(table: ScoreMapTable) -> tuple[Statistics, Statistics, Statistics]:
    """Centre (D,), spread (D,) and the whole precision matrix (D, D)."""
    size = len(table.centre)
    lower = np.zeros((size, size))
    lower[np.tril_indices(size)] = [value for row in table.precision for value in row]
    return np.array(table.centre), np.array(table.spread), lower + np.tril(lower, -1).T


def _parts(length: int) -> list[slice]:
    """Three slices that cover a side; of a side below three they overlap."""
    starts = [i * length // REGIONS for i in range(REGIONS + 1)]
    return [slice(a, max(a + 1, b)) for a, b in pairwise(starts)]


def _floats(values: Sequence[float] | Statistics) -> tuple[float, ...]:
    # Seven digits are more than the maps' float32 hold, and keep the manifest short.
    return tuple(float(f"{value:.7g}") for value in values)
