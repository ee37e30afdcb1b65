"""Thresholds against brute force, temperatures against the likelihood they minimise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.labels import PSMM
from realmnet_training.measuring.operating_points import (
    arrays_of,
    fit_operating_point,
    fit_temperatures,
    fit_thresholds,
    probabilities_of,
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.booleans()), min_size=1, max_size=40
    ).filter(lambda rows: any(truth for _, truth in rows))
)
def test_no_threshold_has_a_higher_f1(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([[score] for score, _ in rows])
    truth = np.array([[int(positive)] for _, positive in rows])
    threshold = fit_thresholds(scores, truth)[0]
    assert 0.0 <= threshold <= 1.0

    def f1(at: float) -> float:
        called = scores[:, 0] >= at
        return float(2 * truth[called].sum() / (called.sum() + truth.sum()))

    assert f1(threshold) == pytest.approx(max(f1(score) for score in scores[:, 0]))


def test_thresholds_take_the_middle_of_the_gap() -> None:
    scores = np.array([[0.1], [0.2], [0.8], [0.9]])
    assert fit_thresholds(scores, np.array([[0], [0], [1], [1]])) == pytest.approx([0.5])


def test_temperature_recovers_a_known_one() -> None:
    random = np.random.default_rng(0)
    true_logits = random.normal(0, 2, (40_000, 3))
    labels = (random.random(true_logits.shape) < probabilities_of(true_logits, np.ones(3))).astype(
        np.uint8
    )
    scale = np.array([0.5, 1.0, 4.0])
    np.testing.assert_allclose(fit_temperatures(true_logits * scale, labels), scale, rtol=0.05)


def test_temperature_never_makes_probabilities_less_likely() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0, 5, (200, 2))
    labels = (random.random(logits.shape) < 0.4).astype(np.uint8)
    fitted = probabilities_of(logits, fit_temperatures(logits, labels))
    plain = probabilities_of(logits, np.ones(2))
    for label in range(2):
        assert log_loss(labels[:, label], fitted[:, label]) <= log_loss(
            labels[:, label], plain[:, label]
        )


def test_labels_without_both_answers_keep_temperature_one_and_have_no_threshold() -> None:
    logits = np.array([[1.0, 2.0], [-1.0, 0.5]])
    labels = np.array([[1, 0], [0, 0]])
    assert fit_temperatures(logits, labels)[1] == 1.0
    with pytest.raises(ConfigurationError, match="label number 2"):
        fit_thresholds(probabilities_of(logits, np.ones(2)), labels)
    with pytest.raises(UsageError, match="same"):
        fit_temperatures(logits, labels[:1])


def test_an_operating_point_names_every_label_in_order() -> None:
    random = np.random.default_rng(2)
    labels = (random.random((60, 7)) < 0.5).astype(np.uint8)
    point = fit_operating_point(random.normal(size=(60, 7)), labels, PSMM, "val")
    assert tuple(point.temperatures) == tuple(point.thresholds) == PSMM.names
    temperatures, thresholds = arrays_of(point, PSMM)
    assert temperatures.tolist() == list(point.temperatures.values())
    assert thresholds.tolist() == list(point.thresholds.values())
    assert arrays_of(None, PSMM)[1].tolist() == [0.5] * 7
