"""Thresholds that repeat the reference's decisions, against a search over every threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from realmnet_compression.parity import decide
from realmnet_compression.releasing.matched_point import match_operating_point, matching_threshold
from realmnet_runtime.errors import UsageError
from realmnet_runtime.labels import PSMM

scores_strategy = arrays(np.float64, 12, elements=st.integers(0, 10).map(lambda n: n / 10))


@given(scores_strategy, arrays(np.bool_, 12))
def test_no_threshold_repeats_more_decisions(scores: np.ndarray, wanted: np.ndarray) -> None:
    assume(wanted.any() and not wanted.all())
    found = matching_threshold(scores, wanted)
    every = np.linspace(0, 1, 201)[1:]
    least = min(int(((scores >= threshold) != wanted).sum()) for threshold in every)

    assert 0.0 <= found <= 1.0
    assert int(((scores >= found) != wanted).sum()) <= least


def test_the_middle_of_the_widest_gap_is_taken() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.7, 0.8])

    assert matching_threshold(scores, scores > 0.5) == pytest.approx(0.5)


def test_a_shifted_variant_decides_exactly_as_its_reference() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (200, 7))
    logits = (labels * 2 - 1) * 1.5 + rng.normal(0, 1.5, labels.shape)
    decisions = logits >= 0.3
    point = match_operating_point(1.3 * logits + 0.4, labels, decisions, PSMM, "test")

    np.testing.assert_array_equal(decide(1.3 * logits + 0.4, point, PSMM)[1], decisions)


def test_a_reference_that_never_decides_otherwise_is_refused() -> None:
    logits = np.zeros((4, 7))
    labels = np.array([[0] * 7, [1] * 7] * 2)

    with pytest.raises(UsageError, match="'NoPS'"):
        match_operating_point(logits, labels, np.ones((4, 7), np.bool_), PSMM, "test")


def test_shapes_must_agree() -> None:
    with pytest.raises(UsageError, match="must be the same"):
        match_operating_point(
            np.zeros((4, 7)), np.zeros((3, 7), int), np.ones((4, 7), np.bool_), PSMM, "test"
        )
