"""Differences of two variants, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from realmnet_compression.answers import RawAnswers
from realmnet_compression.parity import compare_answers, require_parity, tensor_errors
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import GateFailed
from realmnet_runtime.labels import Label, LabelSet

TWO = LabelSet("two", (Label("A", "a", "first"), Label("B", "b", "second")))


def answers(logits: list[list[float]]) -> RawAnswers:
    values = np.array(logits, np.float32)
    return RawAnswers(values, np.broadcast_to(values[..., None, None], (*values.shape, 2, 2)))


def point(temperature: float, threshold: float) -> OperatingPoint:
    return OperatingPoint(
        {"a": temperature, "b": temperature}, {"a": threshold, "b": threshold}, "hand"
    )


def test_flips_are_counted_each_at_its_own_point() -> None:
    reference = ("fp32", answers([[0.0, 2.0], [-1.0, 1.0], [3.0, -3.0]]), point(1.0, 0.5))
    # logits doubled and temperature 2: the same probabilities, but for one cell moved over
    variant = ("int8", answers([[-0.2, 4.0], [-2.0, 2.0], [6.0, -6.0]]), point(2.0, 0.5))

    found = compare_answers(reference, variant, TWO)

    assert (found.flips, found.decisions, found.images_changed) == (1, 6, 1)
    assert found.flips_per_label == (1, 0)
    assert found.distances == (0.0,)
    assert found.flips_per_thousand == pytest.approx(1000 / 6)
    assert found.probabilities.largest == pytest.approx(0.5 - 1 / (1 + np.exp(0.1)))
    assert found.logits.largest == pytest.approx(3.0)
    assert "166.7 of 1,000" in str(found)


def test_distances_fall() -> None:
    reference = ("fp32", answers([[1.0, -2.0], [0.1, 0.1]]), point(1.0, 0.5))
    variant = ("int8", answers([[-1.0, 2.0], [-0.1, 0.1]]), point(1.0, 0.5))

    distances = compare_answers(reference, variant, TWO).distances

    expected = [
        1 / (1 + np.exp(-2)) - 0.5,
        1 / (1 + np.exp(-1)) - 0.5,
        1 / (1 + np.exp(-0.1)) - 0.5,
    ]
    np.testing.assert_allclose(distances, expected, rtol=1e-6)


def test_too_many_flips_fail_with_table_and_figure() -> None:
    same = ("fp32", answers([[1.0, -1.0]] * 100), point(1.0, 0.5))
    moved = ("int8", answers([[1.0, -1.0]] * 98 + [[-1.0, -1.0]] * 2), point(1.0, 0.5))
    found = compare_answers(same, moved, TWO)

    require_parity(found, 0.0101, "val")
    with pytest.raises(GateFailed, match=r"on table 'val' int8 against fp32: 10\.0 of 1,000"):
        require_parity(found, 0.01, "val")


def test_answers_that_are_not_numbers_fail() -> None:
    same = ("fp32", answers([[1.0, -1.0]]), point(1.0, 0.5))
    broken = ("int8", answers([[np.nan, -1.0]]), point(1.0, 0.5))

    with pytest.raises(GateFailed):
        require_parity(compare_answers(same, broken, TWO), 1.0, "val")


def test_tensors_of_different_shape_cannot_be_compared() -> None:
    with pytest.raises(GateFailed, match="cannot be the same answer"):
        tensor_errors(np.zeros((1, 7)), np.zeros((1, 5)))
