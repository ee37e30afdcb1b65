"""Metrics that are means over images: Hamming loss, coverage, ranking loss, squared errors.

All are of the labels that are known of an image; an image counts in a mean as much as they say.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.ranking import Floats, ratio


def values_per_image(
    truth: NDArray[np.bool_],
    scores: NDArray[Any],
    strictly_found: NDArray[np.bool_],
    known: NDArray[np.bool_],
) -> Floats:
    """Each image's addend of the means, before it is weighted.

    Args:
        truth: (N, L), False where a label is unknown.
        scores: (N, L) in [0, 1].
        strictly_found: (N, L), False where a label is unknown.
        known: (N, L).

    Returns:
        (N, 3 + L): Hamming loss, coverage, ranking loss, squared error of each label.
    """
    # not_below[n, i, j]: score j >= score i, so that ties take the worst rank and are errors.
    not_below = (scores[:, None, :] >= scores[:, :, None]) & known[:, None, :]
    coverage = np.where(truth, not_below.sum(axis=2), 0).max(axis=1)
    present = truth.sum(axis=1)
    misordered = (not_below & truth[:, :, None] & ~truth[:, None, :]).sum(axis=(1, 2))
    pairs = present * (known.sum(axis=1) - present)
    return np.column_stack(
        [
            (strictly_found != truth).mean(axis=1),
            coverage,
            ratio(misordered, pairs, empty=0.0),
            np.where(known, (scores.astype(np.float64) - truth) ** 2, 0.0),
        ]
    ).astype(np.float64)


def shares_of_images(known: NDArray[np.bool_]) -> Floats:
    """How much of an image's weight counts in each mean of `values_per_image`.

    Returns:
        (N, 3 + L): the share of its labels that are known, for Hamming loss; 1 if any is, for
        coverage and ranking loss; 1 for each label that is. (N, 1) of ones where all are.
    """
    if known.all():
        return np.ones((len(known), 1))
    any_known = known.any(axis=1)
    return np.column_stack([known.mean(axis=1), any_known, any_known, known]).astype(np.float64)
