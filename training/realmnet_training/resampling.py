"""Resampling a training table: by label (ML), by label set (LP), and by decoupling (REMEDIAL).

The methods are Charte et al.'s (Neurocomputing 163, 2015; HAIS 2015; Neurocomputing 326-327, 2019).
A ratio is a share of the number of images: so many are deleted or repeated, shared equally between
the bags. A bag is the images of one label or of one label set. No bag is taken across the mean, as
in the originals; what it cannot give or take the others share, and where all are at their limit,
fewer images are deleted or repeated than asked.

For training tables only: a resampled development or test set measures another population.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmnet_runtime.errors import UsageError
from realmnet_training.imbalance import Imbalance, Table, label_table, measure_imbalance

Indices = NDArray[np.int64]


def ml_rus(labels: ArrayLike, ratio: float, seed: int = 42) -> Indices:
    """Under-sample by label: delete images of the majority labels, those with IRLbl < MeanIR.

    As the authors' resampled table shows it: every majority label draws its share without
    replacement from all of its images, and an image drawn for two labels is deleted once. So fewer
    than `ratio` of the images go (5,733 of 6,084 are expected for PSMM at 0.2; the table lacks
    5,737), and rare labels lose what they share with frequent ones.

    A label draws no more than brings its own IRLbl to MeanIR (PSMM: above a ratio of 0.302), and an
    image that would be the last of any label stays.

    Args:
        labels: (N, L) of 0 and 1.
        ratio: 0 to below 1; the paper trains with 0.2.
        seed: 0 or more.

    Returns:
        Indices kept, ascending; all of them where every label is equally frequent.

    Raises:
        UsageError: labels as `measure_imbalance`, ratio or seed out of range.
    """
    table = label_table(labels)
    random, total = _random(seed), _deletions(len(table), ratio)
    measured = measure_imbalance(table)
    bags = _bags(table, measured.irlbl < measured.mean_ir)
    shares = share_equally(total, [len(bag) - _mean_count(measured) for bag in bags])
    kept = np.ones(len(table), dtype=np.bool_)
    for bag, share in zip(bags, shares, strict=True):
        kept[random.choice(bag, share, replace=False)] = False
    for label in np.flatnonzero(table.any(axis=0) & ~table[kept].any(axis=0)):
        kept[np.flatnonzero(table[:, label])[0]] = True
    return np.flatnonzero(kept)


def ml_ros(labels: ArrayLike, ratio: float, seed: int = 42) -> Indices:
    """Over-sample by label: repeat images of the minority labels, those with IRLbl > MeanIR.

    A label repeats no more than brings its IRLbl to MeanIR (all of PSMM: a ratio of 0.074).

    Args:
        labels: (N, L) of 0 and 1.
        ratio: 0 or more.
        seed: 0 or more.

    Returns:
        Every index and the repeats, ascending.

    Raises:
        UsageError: labels as `measure_imbalance`, ratio or seed out of range.
    """
    table = label_table(labels)
    random, total = _random(seed), _additions(len(table), ratio)
    measured = measure_imbalance(table)
    bags = _bags(table, measured.minority)
    shares = share_equally(total, [_mean_count(measured) - len(bag) for bag in bags])
    return _with_repeats(len(table), bags, shares, random)


def lp_rus(labels: ArrayLike, ratio: float, seed: int = 42) -> Indices:
    """Under-sample by label set: delete images of the sets larger than the mean set.

    No set is made smaller than the mean; the others lose nothing.

    Args:
        labels: (N, L) of 0 and 1.
        ratio: 0 to below 1.
        seed: 0 or more.

    Returns:
        Indices kept, ascending.

    Raises:
        UsageError: labels as `label_table`, ratio or seed out of range.
    """
    table = label_table(labels)
    random, total = _random(seed), _deletions(len(table), ratio)
    sets = _label_sets(table)
    mean = len(table) / len(sets)
    bags = [bag for bag in sets if len(bag) > mean]
    shares = share_equally(total, [len(bag) - math.ceil(mean) for bag in bags])
    kept = np.ones(len(table), dtype=np.bool_)
    for bag, share in zip(bags, shares, strict=True):
        kept[random.choice(bag, share, replace=False)] = False
    return np.flatnonzero(kept)


def lp_ros(labels: ArrayLike, ratio: float, seed: int = 42) -> Indices:
    """Over-sample by label set: repeat images of the sets smaller than the mean set.

    No set is made larger than the mean.

    Args:
        labels: (N, L) of 0 and 1.
        ratio: 0 or more.
        seed: 0 or more.

    Returns:
        Every index and the repeats, ascending.

    Raises:
        UsageError: labels as `label_table`, ratio or seed out of range.
    """
    table = label_table(labels)
    random, total = _random(seed), _additions(len(table), ratio)
    sets = _label_sets(table)
    mean = len(table) / len(sets)
    bags = [bag for bag in sets if len(bag) < mean]
    shares = share_equally(total, [math.floor(mean) - len(bag) for bag in bags])
    return _with_repeats(len(table), bags, shares, random)


def remedial(labels: ArrayLike) -> tuple[Indices, Table]:
    """Decouple images in which rare and frequent labels meet; nothing is random.

    An image whose SCUMBLE lies above the table's becomes two rows: first its minority labels alone
    (IRLbl > MeanIR), then the others alone. Where all its labels lie on one side, one of the two
    has no label at all: the original method does this, and Table A2's figures need it.

    Args:
        labels: (N, L) of 0 and 1.

    Returns:
        (M,) indices of the images, ascending, and (M, L) uint8 labels of the rows.

    Raises:
        UsageError: labels as `measure_imbalance`.
    """
    table = label_table(labels)
    measured = measure_imbalance(table)
    # equal values must not be split by the rounding of their own mean
    decoupled = measured.scumble_per_image > measured.scumble * (1.0 + 1e-9)
    indices = np.repeat(np.arange(len(table)), np.where(decoupled, 2, 1))
    rows = table[indices]
    second = np.append(False, indices[1:] == indices[:-1])
    first = np.append(second[1:], False)
    rows[np.ix_(first, ~measured.minority)] = 0
    rows[np.ix_(second, measured.minority)] = 0
    return indices, rows


def remedial_hwr(labels: ArrayLike, ratio: float, seed: int = 42) -> tuple[Indices, Table]:
    """REMEDIAL, then ML-ROS on what it returns: the variant HwR-ROS of the original.

    Its two other variants edit or invent pictures by their neighbours and have no index list.

    Args:
        labels: (N, L) of 0 and 1.
        ratio: 0 or more, of the number of rows that REMEDIAL returns.
        seed: 0 or more.

    Returns:
        (M,) indices of the images, ascending, and (M, L) uint8 labels of the rows.

    Raises:
        UsageError: labels as `measure_imbalance`, ratio or seed out of range.
    """
    indices, rows = remedial(labels)
    chosen = ml_ros(rows, ratio, seed)
    return indices[chosen], rows[chosen]


def share_equally(total: int, limits: Sequence[int]) -> Indices:
    """Share a number of images between bags as equally as their limits allow.

    Args:
        total: images to share, 0 or more.
        limits: most that each of the B bags can give or take, 0 or more.

    Returns:
        (B,) shares; they sum to `total`, or to the sum of the limits where that is less.
    """
    shares = np.zeros(len(limits), dtype=np.int64)
    left = total
    # the tightest first: what it leaves is still there for the others
    for place, bag in enumerate(np.argsort(limits, kind="stable")):
        shares[bag] = min(limits[bag], left // (len(limits) - place))
        left -= int(shares[bag])
    return shares


def _bags(table: Table, chosen: NDArray[np.bool_]) -> list[Indices]:
    return [np.flatnonzero(table[:, label]) for label in np.flatnonzero(chosen)]


def _label_sets(table: Table) -> list[Indices]:
    sets, of_image = np.unique(table, axis=0, return_inverse=True)
    return [np.flatnonzero(of_image.ravel() == number) for number in range(len(sets))]


def _mean_count(measured: Imbalance) -> int:
    """Fewest images at which a label's IRLbl is not above the mean."""
    return math.ceil(int(measured.counts.max()) / measured.mean_ir)


def _with_repeats(
    count: int, bags: list[Indices], shares: Indices, random: np.random.Generator
) -> Indices:
    repeats = [random.choice(bag, share) for bag, share in zip(bags, shares, strict=True)]
    return np.sort(np.concatenate([np.arange(count), *repeats]))


def _deletions(count: int, ratio: float) -> int:
    if not 0.0 <= ratio < 1.0:
        raise UsageError(f"ratio {ratio} of under-sampling; expected 0 to below 1, as 0.2")
    return _share_of(count, ratio)


def _additions(count: int, ratio: float) -> int:
    if not (ratio >= 0.0 and math.isfinite(ratio)):
        raise UsageError(f"ratio {ratio} of over-sampling; expected 0 or more, as 0.2")
    return _share_of(count, ratio)


def _share_of(count: int, ratio: float) -> int:
    # 0.29 of 100 is 28.999999999999996 in binary
    return math.floor(round(ratio * count, 6))


def _random(seed: int) -> np.random.Generator:
    if seed < 0:
        raise UsageError(f"seed {seed}; expected 0 or more")
    return np.random.default_rng(seed)
