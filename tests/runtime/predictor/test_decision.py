"""Sigmoid against scipy, and the laws of temperature and threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.answering.decision import calibrated_probabilities, findings_of, sigmoid
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import IncompatibleError
from realmnet_runtime.labels import PSMM

expit = pytest.importorskip("scipy.special", reason="scipy is the oracle").expit

# Nearer to zero than this a sigmoid in float64 may round to one half itself.
LOGIT = st.floats(allow_nan=False, allow_infinity=False, width=32).filter(
    lambda value: value == 0 or abs(value) > 1e-12
)
SEVEN_LOGITS = st.lists(LOGIT, min_size=len(PSMM), max_size=len(PSMM)).map(
    lambda values: np.array(values, np.float32)
)


def operating_point(temperature: float = 1.0, threshold: float = 0.5) -> OperatingPoint:
    return OperatingPoint(
        temperatures=dict.fromkeys(PSMM.names, temperature),
        thresholds=dict.fromkeys(PSMM.names, threshold),
        fitted_on="a test",
    )


@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_sigmoid_is_scipys_and_never_warns(values: list[float]) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = sigmoid(values)
    np.testing.assert_allclose(found, expit(np.array(values)), rtol=1e-14, atol=0)


@given(SEVEN_LOGITS, st.floats(0.05, 20))
def test_a_temperature_never_moves_a_finding_at_one_half(
    logits: np.ndarray, temperature: float
) -> None:
    signs = tuple(name for name, logit in zip(PSMM.names, logits, strict=True) if logit >= 0)
    point = operating_point(temperature)
    assert findings_of(calibrated_probabilities(logits, PSMM, point), PSMM, point) == signs


@given(SEVEN_LOGITS, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_higher_threshold_never_adds_a_finding(logits: np.ndarray, a: float, b: float) -> None:
    probabilities = calibrated_probabilities(logits, PSMM, operating_point())
    low, high = sorted((a, b))
    more = findings_of(probabilities, PSMM, operating_point(threshold=low))
    fewer = findings_of(probabilities, PSMM, operating_point(threshold=high))
    assert set(fewer) <= set(more)


def test_a_probability_at_its_threshold_is_a_finding() -> None:
    probabilities = calibrated_probabilities(np.zeros(7, np.float32), PSMM, operating_point())
    assert set(probabilities.values()) == {0.5}
    assert findings_of(probabilities, PSMM, operating_point()) == PSMM.names


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_answer_that_is_not_finite_is_refused(value: float) -> None:
    logits = np.zeros(7, np.float32)
    logits[3] = value
    with pytest.raises(IncompatibleError, match="not finite"):
        calibrated_probabilities(logits, PSMM, operating_point())
