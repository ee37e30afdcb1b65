"""Intervals against scipy, against theory, and against the laws of resampling whole patients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from realmnet_benchmarks.bootstrap import bootstrap, metric_intervals, paired_difference
from realmnet_benchmarks.metrics import Floats, multilabel_metrics
from realmnet_runtime.errors import UsageError

RNG = np.random.default_rng(7)
LABELS = (RNG.random((120, 3)) < [0.5, 0.3, 0.1]).astype(np.int64)
SCORES = np.clip(0.35 * LABELS + 0.65 * RNG.random(LABELS.shape), 0, 1)
PATIENTS = np.repeat(np.arange(40), 3)


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = RNG.exponential(size=80)
    ours = bootstrap(
        lambda w: {"mean": w @ values / w.sum(axis=1)}, np.arange(80), replicates=20_000
    )["mean"]
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert float(ours.estimate) == pytest.approx(values.mean())
    assert float(ours.low) == pytest.approx(theirs.low, abs=0.03 * width)
    assert float(ours.high) == pytest.approx(theirs.high, abs=0.03 * width)


def test_copies_of_a_patients_images_bring_no_certainty() -> None:
    once = metric_intervals(LABELS, SCORES, np.arange(120), replicates=50)
    thrice = metric_intervals(
        LABELS.repeat(3, axis=0), SCORES.repeat(3, axis=0), np.arange(120).repeat(3), replicates=50
    )
    for name, interval in once.items():
        np.testing.assert_allclose(thrice[name].low, interval.low, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(thrice[name].high, interval.high, rtol=1e-9, err_msg=name)


def test_intervals_hold_every_metric_and_their_estimates_are_the_metrics() -> None:
    intervals = metric_intervals(LABELS, SCORES, PATIENTS, replicates=200)
    plain = dict(multilabel_metrics(LABELS, SCORES))
    assert set(intervals) == set(plain) - {"positives"}
    for name, interval in intervals.items():
        np.testing.assert_allclose(interval.estimate, np.asarray(plain[name]), rtol=1e-12)
        assert (interval.low <= interval.high).all()


def test_patients_can_be_any_identifiers_in_any_order() -> None:
    shuffled = RNG.permutation(len(PATIENTS))
    names = np.array([f"{number:03d}" for number in PATIENTS])
    first = metric_intervals(LABELS, SCORES, PATIENTS, replicates=50)
    second = metric_intervals(LABELS[shuffled], SCORES[shuffled], names[shuffled], replicates=50)
    for name, interval in first.items():
        np.testing.assert_allclose(second[name].low, interval.low, rtol=1e-9, err_msg=name)


def test_a_model_does_not_differ_from_itself() -> None:
    for interval in paired_difference(LABELS, SCORES, SCORES, PATIENTS, replicates=50).values():
        assert not np.any([interval.estimate, interval.low, interval.high])


def test_pairing_narrows_the_interval_of_a_difference() -> None:
    noisy = np.clip(SCORES + RNG.normal(0, 0.03, SCORES.shape), 0, 1)
    paired = paired_difference(LABELS, SCORES, noisy, PATIENTS)["auroc_macro"]
    single = [metric_intervals(LABELS, s, PATIENTS)["auroc_macro"] for s in (SCORES, noisy)]
    unpaired = math.hypot(*(float(i.high - i.low) for i in single))
    assert 0 < float(paired.high - paired.low) < 0.5 * unpaired


def test_draws_without_a_positive_are_counted_not_zero() -> None:
    labels = np.zeros((10, 1), dtype=np.int64)
    labels[0] = 1
    interval = metric_intervals(labels, np.linspace(1, 0, 10)[:, None], np.arange(10))["ap_macro"]
    # A patient is missing from a draw of 10 with probability 0.9^10 = 0.349.
    assert 280 < int(interval.undefined) < 420
    assert float(interval.low) == float(interval.high) == 1.0


def test_what_never_exists_is_nan() -> None:
    labels = np.zeros((4, 1), dtype=np.int64)
    interval = metric_intervals(labels, np.full((4, 1), 0.2), np.arange(4), replicates=10)[
        "auroc_per_label"
    ]
    assert np.isnan([interval.estimate, interval.low, interval.high]).all()
    assert interval.undefined.tolist() == [10]


@pytest.mark.parametrize(
    ("patients", "replicates", "level"),
    [(np.arange(0), 10, 0.9), (PATIENTS, 1, 0.9), (PATIENTS, 10, 1.0), (np.arange(7), 10, 0.9)],
)
def test_bad_arguments_are_refused(patients: Floats, replicates: int, level: float) -> None:
    with pytest.raises(UsageError):
        metric_intervals(LABELS, SCORES, patients, replicates=replicates, level=level)
