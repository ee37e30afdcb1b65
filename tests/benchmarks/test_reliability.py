"""Reliability and calibration error against scikit-learn, scipy, and what calibration means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import calibration_curve

from realmnet_benchmarks.reliability import (
    BinnedScores,
    Binning,
    calibration_intervals,
    reliability_curves,
    wilson_interval,
)
from realmnet_runtime.errors import UsageError

SKLEARN = {"equal_width": "uniform", "equal_count": "quantile"}

SEEDS = st.integers(0, 2**32 - 1)
BINNINGS = st.sampled_from(["equal_width", "equal_count"])


def table(seed: int, images: int = 120, steps: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    scores = rng.beta(0.6, 1.5, (images, 3))
    if steps:
        scores = np.round(scores * steps) / steps
    return (rng.random(scores.shape) < scores).astype(np.int64), scores


@settings(deadline=None, max_examples=80)
@given(SEEDS, BINNINGS, st.integers(1, 12), st.sampled_from([0, 10]))
def test_curves_equal_scikit_learn(seed: int, binning: Binning, bins: int, steps: int) -> None:
    labels, scores = table(seed, steps=steps)
    ours = reliability_curves(labels, scores, bins=bins, binning=binning)
    for label in range(3):
        observed, mean_score = calibration_curve(
            labels[:, label], scores[:, label], n_bins=bins, strategy=SKLEARN[binning]
        )
        filled = ours.count[label] > 0
        np.testing.assert_allclose(ours.observed[label][filled], observed, atol=1e-12)
        np.testing.assert_allclose(ours.mean_score[label][filled], mean_score, atol=1e-12)
        share = ours.count[label][filled] / len(labels)
        error = (share * np.abs(observed - mean_score)).sum()
        assert ours.error_per_label[label] == pytest.approx(error, abs=1e-12)
        assert np.isnan(ours.observed[label][~filled]).all()
    assert (ours.count.sum(axis=1) == len(labels)).all()
    assert ours.error_macro == pytest.approx(ours.error_per_label.mean())


@settings(deadline=None, max_examples=60)
@given(SEEDS, BINNINGS)
def test_a_weight_is_a_repetition_in_the_same_bins(seed: int, binning: Binning) -> None:
    labels, scores = table(seed, images=40)
    counts = np.random.default_rng(seed).integers(0, 4, 40)
    counts[0] += 1
    binned = BinnedScores.bin(labels, scores, bins=5, binning=binning)
    weighted = binned.evaluate(counts[None].astype(np.float64))
    repeated = BinnedScores(
        edges=binned.edges,
        members=binned.members.repeat(counts, axis=0),
        truth=binned.truth.repeat(counts, axis=0),
        scores=binned.scores.repeat(counts, axis=0),
    ).evaluate(np.ones((1, counts.sum())))
    for name, values in weighted.items():
        np.testing.assert_allclose(values, repeated[name], atol=1e-12, err_msg=name)


def test_wilson_is_scipys() -> None:
    for positives, count in ((0, 5), (5, 5), (3, 17), (1, 1), (250, 1_000)):
        low, high = wilson_interval(positives, count, 0.9)
        test = stats.binomtest(positives, count)
        expected = test.proportion_ci(confidence_level=0.9, method="wilson")
        assert (float(low), float(high)) == pytest.approx(tuple(expected), abs=1e-12)
    assert np.isnan(wilson_interval(0, 0)).all()


def test_equal_counts_are_equal() -> None:
    labels, scores = table(3, images=100)
    assert (reliability_curves(labels, scores, binning="equal_count").count == 10).all()


def test_calibrated_scores_have_a_small_error_and_distorted_ones_a_known_one() -> None:
    labels, scores = table(1, images=20_000)
    honest = reliability_curves(labels, scores)
    assert (honest.error_per_label < 0.015).all()
    # Every score halved is wrong by itself on average, in every bin.
    halved = reliability_curves(labels, scores / 2)
    np.testing.assert_allclose(halved.error_per_label, scores.mean(axis=0) / 2, atol=0.01)
    inside = (honest.low <= honest.mean_score) & (honest.mean_score <= honest.high)
    assert inside.mean() > 0.8


def test_certain_answers_are_calibrated_when_right_and_not_when_wrong() -> None:
    labels = np.array([[1], [0], [1], [0]])
    assert reliability_curves(labels, labels.astype(float)).error_macro == 0.0
    assert reliability_curves(labels, 1.0 - labels).error_macro == 1.0


def test_intervals_by_patient_widen_with_what_a_patients_images_share() -> None:
    labels, scores = table(2, images=200)
    alone = calibration_intervals(labels, scores, np.arange(200), bins=4, replicates=200)
    copies = calibration_intervals(
        labels.repeat(3, axis=0),
        scores.repeat(3, axis=0),
        np.arange(200).repeat(3),
        bins=4,
        replicates=200,
    )
    assert set(alone) == {"observed", "mean_score", "error_per_label", "error_macro"}
    assert alone["observed"].low.shape == (3, 4)
    plain = reliability_curves(labels, scores, bins=4)
    np.testing.assert_allclose(alone["observed"].estimate, plain.observed)
    np.testing.assert_allclose(alone["error_per_label"].estimate, plain.error_per_label)
    for name, interval in alone.items():
        np.testing.assert_allclose(copies[name].low, interval.low, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(copies[name].high, interval.high, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bins": 0}, "ask for 1 or more"),
        ({"binning": "width"}, "expected equal_width or equal_count"),
        ({"level": 1.0}, r"expected one in \(0, 1\)"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        reliability_curves([[1], [0]], [[0.7], [0.1]], **options)


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match="expected \\(replicates, 2\\)"):
        BinnedScores.bin([[1], [0]], [[0.5], [0.1]]).evaluate(np.ones((1, 3)))
