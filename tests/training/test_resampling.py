"""Laws of the six resampling methods, and a table small enough to know the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from realmnet_runtime.errors import UsageError
from realmnet_training.imbalance import measure_imbalance
from realmnet_training.resampling import (
    lp_ros,
    lp_rus,
    ml_ros,
    ml_rus,
    remedial,
    remedial_hwr,
    share_equally,
)

Method = Callable[[np.ndarray, float, int], np.ndarray]
UNDER: tuple[Method, ...] = (ml_rus, lp_rus)
OVER: tuple[Method, ...] = (ml_ros, lp_ros)

TABLES = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 5)), elements=st.integers(0, 1)
).filter(lambda table: bool(table.any()))
RATIOS = st.floats(0.0, 0.99)
SEEDS = st.integers(0, 99)
# 60 images of A alone, 30 of A and B, 8 of B alone, 2 of C alone
SMALL = np.repeat([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]], [60, 30, 8, 2], axis=0)


@settings(deadline=None)
@given(TABLES, RATIOS, SEEDS)
def test_under_sampling_keeps_each_image_at_most_once(
    table: np.ndarray, ratio: float, seed: int
) -> None:
    for method in UNDER:
        kept = method(table, ratio, seed)
        assert (np.diff(kept) > 0).all()
        assert set(kept) <= set(range(len(table)))
        assert len(table) - len(kept) <= ratio * len(table) + 1e-6
        np.testing.assert_array_equal(kept, method(table, ratio, seed))
        # no label is lost
        assert (table[kept].any(axis=0) == table.any(axis=0)).all()


@settings(deadline=None)
@given(TABLES, RATIOS, SEEDS)
def test_over_sampling_keeps_all_and_repeats_some(
    table: np.ndarray, ratio: float, seed: int
) -> None:
    for method in OVER:
        chosen = method(table, ratio, seed)
        assert (np.diff(chosen) >= 0).all()
        assert set(chosen) == set(range(len(table)))
        assert len(chosen) - len(table) <= ratio * len(table) + 1e-6
        np.testing.assert_array_equal(chosen, method(table, ratio, seed))


@settings(deadline=None)
@given(TABLES, RATIOS, SEEDS)
def test_by_label_only_the_right_side_of_the_mean_is_drawn(
    table: np.ndarray, ratio: float, seed: int
) -> None:
    measured = measure_imbalance(table)
    majority, minority = measured.irlbl < measured.mean_ir, measured.irlbl > measured.mean_ir
    deleted = np.setdiff1d(np.arange(len(table)), ml_rus(table, ratio, seed))
    assert table[deleted][:, majority].any(axis=1).all()
    repeated = np.flatnonzero(np.bincount(ml_ros(table, ratio, seed)) > 1)
    assert table[repeated][:, minority].any(axis=1).all()


@settings(deadline=None)
@given(TABLES, RATIOS, SEEDS)
def test_no_label_set_crosses_the_mean_set(table: np.ndarray, ratio: float, seed: int) -> None:
    before = Counter(map(tuple, table.tolist()))
    mean = len(table) / len(before)
    fewer = Counter(map(tuple, table[lp_rus(table, ratio, seed)].tolist()))
    more = Counter(map(tuple, table[lp_ros(table, ratio, seed)].tolist()))
    for labels, count in before.items():
        assert fewer[labels] == count if count <= mean else mean <= fewer[labels] <= count
        assert more[labels] == count if count >= mean else count <= more[labels] <= mean


@settings(deadline=None)
@given(TABLES)
def test_remedial_parts_the_labels_of_an_image_and_loses_none(table: np.ndarray) -> None:
    measured = measure_imbalance(table)
    indices, rows = remedial(table)
    assert (np.diff(indices) >= 0).all()
    assert rows.dtype == np.uint8
    together = np.zeros_like(table)
    np.add.at(together, indices, rows)
    np.testing.assert_array_equal(together, table)
    twice = np.bincount(indices) == 2
    assert (measured.scumble_per_image[twice] > measured.scumble).all()
    once = rows[~twice[indices]]
    np.testing.assert_array_equal(once, table[~twice])
    parted = rows[twice[indices]]
    assert not parted[0::2][:, ~measured.minority].any()
    assert not parted[1::2][:, measured.minority].any()


@settings(deadline=None)
@given(TABLES, RATIOS, SEEDS)
def test_remedial_hwr_is_remedial_then_by_label(table: np.ndarray, ratio: float, seed: int) -> None:
    indices, rows = remedial_hwr(table, ratio, seed)
    assert (np.diff(indices) >= 0).all()
    assert set(indices) == set(range(len(table)))
    decoupled, parted = remedial(table)
    allowed = set(zip(decoupled.tolist(), map(tuple, parted.tolist()), strict=True))
    assert set(zip(indices.tolist(), map(tuple, rows.tolist()), strict=True)) == allowed
    assert len(rows) - len(parted) <= ratio * len(parted) + 1e-6


@given(st.integers(0, 300), st.lists(st.integers(0, 60), max_size=6))
def test_shares_are_as_dealt_out_one_by_one(total: int, limits: list[int]) -> None:
    shares = share_equally(total, limits)
    dealt = [0] * len(limits)
    while sum(dealt) < min(total, sum(limits)):
        open_bags = [bag for bag, limit in enumerate(limits) if dealt[bag] < limit]
        dealt[min(open_bags, key=lambda bag: dealt[bag])] += 1
    assert sum(shares) == sum(dealt)
    assert (shares <= limits).all()
    assert np.abs(np.subtract(shares, dealt)).max(initial=0) <= 1


def test_a_small_table_is_cut_and_filled_where_it_should_be() -> None:
    # IRLbl 1, 90/38, 45: the mean is 16.1, so A and B are the majority, C may grow to 6
    kept = ml_rus(SMALL, 0.2)
    assert 80 <= len(kept) <= 90
    assert kept[-2:].tolist() == [98, 99]
    assert len(ml_ros(SMALL, 0.04)) == 104
    assert len(ml_ros(SMALL, 1.0)) == 104
    # four sets of 25 on average: A gives 35, A with B gives 5; B takes 17, C takes 23
    assert Counter(map(tuple, SMALL[lp_rus(SMALL, 0.1)].tolist()))[1, 0, 0] == 55
    assert len(lp_rus(SMALL, 0.9)) == 60
    assert Counter(map(tuple, SMALL[lp_ros(SMALL, 0.2)].tolist()))[0, 0, 1] == 12
    assert len(lp_ros(SMALL, 2.0)) == 140


def test_seeds_change_what_is_drawn_and_ratio_zero_draws_nothing() -> None:
    for method in UNDER:
        assert method(SMALL, 0.2, 1).tolist() != method(SMALL, 0.2, 2).tolist()
    for method in (*UNDER, *OVER):
        assert method(SMALL, 0.0, 42).tolist() == list(range(100))


def test_equal_labels_have_neither_majority_nor_minority() -> None:
    even = np.tile(np.eye(3, dtype=np.uint8), (5, 1))
    for method in (*UNDER, *OVER):
        assert method(even, 0.5, 42).tolist() == list(range(15))
    assert remedial(np.tile([[1, 1, 0]], (7, 1)))[0].tolist() == list(range(7))


def test_the_last_image_of_a_label_stays() -> None:
    # A is on every image and gives 8 of 10; C is on one of them
    table = np.array([[1, 0]] * 9 + [[1, 1]])
    for seed in range(20):
        kept = ml_rus(table, 0.9, seed)
        assert 9 in kept
        assert len(kept) in {2, 3}


@pytest.mark.parametrize("pairs", range(1, 40))
def test_equally_uneven_images_are_not_parted_by_rounding(pairs: int) -> None:
    table = np.array([[1, 1, 0], [1, 0, 1]] * pairs)
    assert measure_imbalance(table).scumble > 0.05
    assert remedial(table)[0].tolist() == list(range(2 * pairs))


@pytest.mark.parametrize("ratio", [-0.1, float("nan"), float("inf")])
def test_impossible_ratios_are_refused(ratio: float) -> None:
    for method in (*UNDER, *OVER):
        with pytest.raises(UsageError, match=f"ratio {ratio}"):
            method(SMALL, ratio, 42)


def test_impossible_seeds_and_shares_are_refused() -> None:
    for method in UNDER:
        with pytest.raises(UsageError, match=r"ratio 1\.0 of under-sampling"):
            method(SMALL, 1.0, 42)
    with pytest.raises(UsageError, match="seed -1"):
        remedial_hwr(SMALL, 0.2, -1)
