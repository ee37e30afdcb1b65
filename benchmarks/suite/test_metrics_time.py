"""Time of the metrics and of their intervals on a table of the released test set's size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture
from sklearn.metrics import average_precision_score, roc_auc_score

from realmnet_benchmarks.bootstrap import metric_intervals, paired_difference
from realmnet_benchmarks.image_bootstrap import metric_replicates_by_image
from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.reliability import calibration_intervals

IMAGES, PATIENTS, REPLICATES = 6_574, 684, 1_000
PREVALENCE = (0.66, 0.34, 0.05, 0.73, 0.14, 0.06, 0.02)


@pytest.fixture(scope="module")
def table() -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(3)
    labels = (rng.random((IMAGES, len(PREVALENCE))) < PREVALENCE).astype(np.int64)
    scores = np.clip(0.3 * labels + 0.7 * rng.random(labels.shape), 0, 1)
    return labels, scores, rng.integers(0, PATIENTS, IMAGES)


def test_metrics(
    benchmark: BenchmarkFixture,
    table: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]],
) -> None:
    labels, scores, _ = table
    found = benchmark(multilabel_metrics, labels, scores)
    assert found["ap_macro"] == pytest.approx(average_precision_score(labels, scores))
    assert found["auroc_macro"] == pytest.approx(roc_auc_score(labels, scores))


def test_intervals_of_all_metrics(
    benchmark: BenchmarkFixture,
    table: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]],
) -> None:
    labels, scores, patients = table
    found = benchmark.pedantic(  # type: ignore[no-untyped-call]
        metric_intervals,
        args=(labels, scores, patients),
        kwargs={"replicates": REPLICATES},
        rounds=3,
    )
    truth = average_precision_score(labels, scores)
    assert float(found["ap_macro"].estimate) == pytest.approx(truth)
    assert truth - 0.02 < float(found["ap_macro"].low) < truth
    assert truth < float(found["ap_macro"].high) < truth + 0.02


def test_paired_difference_of_all_metrics(
    benchmark: BenchmarkFixture,
    table: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]],
) -> None:
    labels, scores, patients = table
    found = benchmark.pedantic(  # type: ignore[no-untyped-call]
        paired_difference,
        args=(labels, scores, scores**2, patients),
        kwargs={"replicates": REPLICATES},
        rounds=3,
    )
    # Squaring is increasing: no ranking changes, every error of size does.
    assert not found["auroc_per_label"].estimate.any()
    assert (found["brier_per_label"].estimate != 0).all()


def test_replicates_by_image_of_all_metrics(
    benchmark: BenchmarkFixture,
    table: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]],
) -> None:
    labels, scores, _ = table
    found = benchmark.pedantic(  # type: ignore[no-untyped-call]
        metric_replicates_by_image,
        args=(labels, scores),
        kwargs={"replicates": REPLICATES},
        rounds=3,
    )
    truth = roc_auc_score(labels, scores)
    assert float(found["auroc_macro"].estimate) == pytest.approx(truth)
    assert float(found["auroc_macro"].low) < truth < float(found["auroc_macro"].high)


def test_intervals_of_the_calibration(
    benchmark: BenchmarkFixture,
    table: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]],
) -> None:
    labels, scores, patients = table
    found = benchmark.pedantic(  # type: ignore[no-untyped-call]
        calibration_intervals,
        args=(labels, scores, patients),
        kwargs={"replicates": REPLICATES},
        rounds=3,
    )
    assert found["observed"].low.shape == (len(PREVALENCE), 10)
    assert found["error_macro"].estimate <= found["error_macro"].high
