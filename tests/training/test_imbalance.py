"""Measures of imbalance against their definitions, one image at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from realmnet_runtime.errors import UsageError
from realmnet_training.imbalance import measure_imbalance

TABLES = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 30), st.integers(1, 6)),
    elements=st.integers(0, 1),
).filter(lambda table: bool(table.any()))


@settings(deadline=None)
@given(TABLES)
def test_measures_follow_their_definitions(table: np.ndarray) -> None:
    measured = measure_imbalance(table)
    counts = [int(column.sum()) for column in table.T]
    ratios = [max(counts) / count if count else math.nan for count in counts]
    np.testing.assert_allclose(measured.irlbl, ratios, rtol=1e-12)
    occurring = [ratio for ratio in ratios if not math.isnan(ratio)]
    assert measured.mean_ir == pytest.approx(sum(occurring) / len(occurring))
    each = []
    for row in table:
        present = [ratio for ratio, label in zip(ratios, row, strict=True) if label]
        size = len(present)
        even = math.prod(present) ** (1 / size) / (sum(present) / size) if present else 1.0
        each.append(1.0 - even)
    np.testing.assert_allclose(measured.scumble_per_image, each, atol=1e-12)
    assert measured.scumble == pytest.approx(sum(each) / len(each), abs=1e-12)
    for label, column in enumerate(table.T):
        having = [value for value, here in zip(each, column, strict=True) if here]
        expected = sum(having) / len(having) if having else math.nan
        assert measured.scumble_lbl[label] == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert measured.cardinality == pytest.approx(sum(counts) / len(table))


@settings(deadline=None)
@given(TABLES, st.integers(0, 99))
def test_order_of_images_and_labels_does_not_matter(table: np.ndarray, seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.permutation(table.shape[1])
    one = measure_imbalance(table)
    other = measure_imbalance(random.permutation(table)[:, labels])
    np.testing.assert_allclose(other.irlbl, one.irlbl[labels])
    np.testing.assert_allclose(other.scumble_lbl, one.scumble_lbl[labels], atol=1e-12)
    assert other.scumble == pytest.approx(one.scumble, abs=1e-12)


@settings(deadline=None)
@given(TABLES)
def test_measures_stay_in_their_ranges(table: np.ndarray) -> None:
    measured = measure_imbalance(table)
    assert np.nanmin(measured.irlbl) == 1.0
    assert measured.mean_ir >= 1.0
    assert (measured.scumble_per_image >= 0.0).all()
    assert (measured.scumble_per_image < 1.0).all()
    assert not measured.scumble_per_image[table.sum(axis=1) < 2].any()


def test_a_label_that_never_occurs_has_no_ratio_and_is_no_minority() -> None:
    measured = measure_imbalance([[1, 0, 0], [1, 1, 0], [True, 0.0, 0]])
    assert measured.irlbl[:2].tolist() == [1.0, 3.0]
    assert np.isnan([measured.irlbl[2], measured.scumble_lbl[2]]).all()
    assert measured.mean_ir == 2.0
    assert measured.minority.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 1], r"shape \(2,\); expected \(N, L\)"),
        (np.zeros((0, 7)), r"shape \(0, 7\)"),
        ([[0, 2]], "other than 0 and 1"),
        ([[0.0, math.nan]], "other than 0 and 1"),
        (np.zeros((4, 2)), "none of the 4 images has a label"),
    ],
)
def test_what_is_no_table_of_labels_is_refused(labels: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        measure_imbalance(labels)  # type: ignore[arg-type]
