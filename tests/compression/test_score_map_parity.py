"""Score maps compared: against scipy map by map, by hand, and by laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from realmnet_compression.score_map_parity import compare_maps
from realmnet_runtime.errors import GateFailed

maps_strategy = arrays(np.float32, (3, 2, 3, 4), elements=st.integers(-4, 4).map(float))


def test_rank_correlations_are_scipys() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(7, 3, 4, 5)).astype(np.float32)
    second = (first + rng.normal(0, 0.5, first.shape)).round(1).astype(np.float32)
    expected = np.array(
        [
            [spearmanr(first[n, k].ravel(), second[n, k].ravel()).statistic for k in range(3)]
            for n in range(7)
        ]
    )

    found = compare_maps(first, second)

    np.testing.assert_allclose(found.rank_median, np.median(expected, axis=0))
    np.testing.assert_allclose(found.rank_worst, expected.min(axis=0))
    assert found.least_rank_median == pytest.approx(np.median(expected, axis=0).min())


def test_peaks_move_by_their_distance() -> None:
    first, second = np.zeros((2, 1, 4, 6)), np.zeros((2, 1, 4, 6))
    first[0, 0, 0, 0] = second[0, 0, 3, 4] = 1.0
    first[1, 0, 2, 2] = second[1, 0, 2, 2] = 1.0

    found = compare_maps(first, second)

    assert found.shift_largest == (5.0,)
    assert found.shift_median == (2.5,)
    assert found.greatest_shift_median == 2.5


@given(maps_strategy)
def test_a_rising_map_of_all_scores_changes_nothing(maps: np.ndarray) -> None:
    found = compare_maps(maps, 0.5 * maps**3 + maps - 7)

    assert all(value is None or value == pytest.approx(1.0) for value in found.rank_worst)
    assert all(value is None or value == 0.0 for value in found.shift_largest)
    assert found.least_rank_median == pytest.approx(1.0)


@given(maps_strategy, maps_strategy)
def test_it_does_not_matter_which_is_the_reference(first: np.ndarray, second: np.ndarray) -> None:
    here, there = compare_maps(first, second), compare_maps(second, first)

    assert here == there
    assert all(value is None or -1.0001 <= value <= 1.0001 for value in here.rank_worst)


def test_flat_maps_are_left_out_where_both_are_and_wrong_where_one_is() -> None:
    flat, slope = np.zeros((1, 2, 2, 2)), np.arange(8.0).reshape(1, 2, 2, 2)
    one = slope.copy()
    one[0, 1] = 0.0

    both = compare_maps(flat, flat)
    assert (both.flat, both.rank_median, both.shift_largest) == (2, (None, None), (None, None))
    assert compare_maps(slope, one).rank_median == (pytest.approx(1.0), 0.0)


def test_shapes_and_numbers_are_checked() -> None:
    maps = np.zeros((1, 2, 2, 2))
    with pytest.raises(GateFailed, match="cannot be the same answer"):
        compare_maps(maps, maps[:, :1])
    with pytest.raises(GateFailed, match="not finite"):
        compare_maps(maps, maps + np.nan)
