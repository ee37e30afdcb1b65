"""The paper's intervals against scikit-learn replicate by replicate, scipy, and theory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from realmnet_benchmarks.bootstrap import Statistic, bootstrap, paired_difference
from realmnet_benchmarks.decisions import TopK
from realmnet_benchmarks.image_bootstrap import (
    ImageReplicates,
    image_bootstrap,
    metric_replicates_by_image,
    t_test_of_replicates,
)
from realmnet_benchmarks.metrics import Floats, RankedScores, multilabel_metrics
from realmnet_runtime.errors import UsageError

RNG = np.random.default_rng(11)
LABELS = (RNG.random((90, 3)) < [0.5, 0.3, 0.2]).astype(np.int64)
SCORES = np.round(np.clip(0.35 * LABELS + 0.65 * RNG.random(LABELS.shape), 0, 1), 2)
PATIENTS = np.repeat(np.arange(30), 3)


def by_scikit_learn(labels: Floats, scores: Floats) -> dict[str, Floats]:
    called = scores >= 0.5
    values: dict[str, Floats] = {
        "hamming_loss": sk.hamming_loss(labels, scores > 0.5),
        "coverage": sk.coverage_error(labels, scores),
        "ranking_loss": sk.label_ranking_loss(labels, scores),
        "brier_per_label": [
            sk.brier_score_loss(t, s) for t, s in zip(labels.T, scores.T, strict=True)
        ],
    }
    for average, suffix in ((None, "per_label"), ("macro", "macro"), ("micro", "micro")):
        shares = sk.precision_recall_fscore_support(labels, called, average=average)
        values |= {
            f"{n}_{suffix}": v for n, v in zip(("precision", "recall", "f1"), shares, strict=False)
        }
        values[f"ap_{suffix}"] = sk.average_precision_score(labels, scores, average=average)
        values[f"auroc_{suffix}"] = sk.roc_auc_score(labels, scores, average=average)
    return values


def recorded(statistic: Statistic, draws: list[Floats]) -> Statistic:
    """The same statistic, which also keeps the weights it is given."""

    def keeping(weights: Floats) -> dict[str, Floats]:
        draws.append(weights)
        return dict(statistic(weights))

    return keeping


def test_every_replicate_by_image_is_scikit_learns() -> None:
    draws: list[Floats] = []
    ranked = RankedScores.rank(LABELS, SCORES)
    ours = image_bootstrap(recorded(ranked.evaluate, draws), len(LABELS), replicates=25, drawn=70)
    weights = np.concatenate(draws[1:]).astype(np.intp)
    assert weights.shape == (25, 90)
    assert (weights.sum(axis=1) == 70).all()
    for row, counts in enumerate(weights):
        expected = by_scikit_learn(LABELS.repeat(counts, axis=0), SCORES.repeat(counts, axis=0))
        assert set(expected) == set(ours)
        for name, value in expected.items():
            np.testing.assert_allclose(ours[name].values[row], value, rtol=1e-12, err_msg=name)


def test_intervals_by_patient_are_scikit_learns_quantiles() -> None:
    draws: list[Floats] = []
    ranked = RankedScores.rank(LABELS, SCORES)
    ours = bootstrap(recorded(ranked.evaluate, draws), PATIENTS, replicates=25)
    expected = [
        by_scikit_learn(LABELS.repeat(counts, axis=0), SCORES.repeat(counts, axis=0))
        for counts in np.concatenate(draws[1:]).astype(np.intp)
    ]
    for name, interval in ours.items():
        values = np.array([replicate[name] for replicate in expected])
        low, high = np.quantile(values, [0.025, 0.975], axis=0)
        np.testing.assert_allclose(interval.low, low, rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(interval.high, high, rtol=1e-12, err_msg=name)


def test_spread_and_its_two_printed_forms() -> None:
    values = RNG.normal(0.8, 0.01, (200, 2))
    ours = ImageReplicates(np.array([0.8, 0.8]), values)
    np.testing.assert_allclose(ours.mean, values.mean(axis=0))
    np.testing.assert_allclose(ours.sd, values.std(axis=0, ddof=1))
    np.testing.assert_allclose(ours.high - ours.low, 2 * 1.96 * ours.sd)
    np.testing.assert_allclose(ours.table_error, stats.sem(values))


def test_the_spread_of_a_mean_is_that_of_the_images_drawn() -> None:
    values = RNG.exponential(size=5_000)
    found = image_bootstrap(
        lambda w: {"mean": w @ values / w.sum(axis=1)}, len(values), replicates=2_000, drawn=1_000
    )["mean"]
    # The SD of 2,000 replicates is known to 1.6 %; the interval is five times that.
    assert float(found.sd) == pytest.approx(values.std() / np.sqrt(1_000), rel=0.08)
    assert float(found.mean) == pytest.approx(values.mean(), abs=5 * float(found.table_error))
    assert float(found.estimate) == pytest.approx(values.mean())


def test_every_metric_has_replicates_and_its_own_estimate() -> None:
    found = metric_replicates_by_image(LABELS, SCORES, threshold=TopK(2), replicates=20, drawn=50)
    plain = dict(multilabel_metrics(LABELS, SCORES, TopK(2)))
    assert set(found) == set(plain) - {"positives"}
    for name, replicates in found.items():
        np.testing.assert_allclose(replicates.estimate, np.asarray(plain[name]), rtol=1e-12)
        assert (replicates.low <= replicates.high).all()


def test_the_seed_decides_the_draws() -> None:
    same, again, other = (
        metric_replicates_by_image(LABELS, SCORES, replicates=20, seed=seed)["f1_macro"].values
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(same, again)
    assert (same != other).any()


def test_p_is_scipys_and_of_the_weak_kind() -> None:
    worse = np.clip(SCORES + RNG.normal(0, 0.1, SCORES.shape), 0, 1)
    first, second = (
        metric_replicates_by_image(LABELS, scores, replicates=150)["ap_per_label"]
        for scores in (SCORES, worse)
    )
    p = t_test_of_replicates(first, second)
    np.testing.assert_allclose(p, stats.ttest_ind(first.values, second.values).pvalue, rtol=1e-9)
    same = t_test_of_replicates(first, first)
    np.testing.assert_allclose(same, 1.0)
    # A difference far within the noise of the patients has a P as small as one draws replicates.
    nearly = np.clip(SCORES + RNG.normal(0, 0.02, SCORES.shape), 0, 1)
    interval = paired_difference(LABELS, SCORES, nearly, PATIENTS)["ap_macro"]
    assert float(interval.low) < 0 < float(interval.high)
    many = [
        metric_replicates_by_image(LABELS, scores, replicates=20_000, drawn=200)["ap_macro"]
        for scores in (SCORES, nearly)
    ]
    assert t_test_of_replicates(*many) < 1e-6


def test_replicates_without_a_value_are_left_out() -> None:
    values = np.array([[0.5, np.nan, 1.0], [0.7, np.nan, np.nan], [0.6, np.nan, np.nan]])
    ours = ImageReplicates(np.zeros(3), values)
    np.testing.assert_array_equal(ours.defined, [3, 0, 1])
    np.testing.assert_allclose(ours.mean, [0.6, np.nan, 1.0])
    np.testing.assert_allclose(ours.sd, [0.1, np.nan, np.nan])
    p = t_test_of_replicates(ours, ours)
    np.testing.assert_array_equal(np.isnan(p), [False, True, True])


@pytest.mark.parametrize(("images", "replicates", "drawn"), [(0, 10, 10), (10, 1, 10), (10, 10, 0)])
def test_bad_arguments_are_refused(images: int, replicates: int, drawn: int) -> None:
    with pytest.raises(UsageError, match="expected 2 or more"):
        image_bootstrap(
            RankedScores.rank(LABELS, SCORES).evaluate, images, replicates=replicates, drawn=drawn
        )


def test_two_statistics_cannot_be_compared() -> None:
    found = metric_replicates_by_image(LABELS, SCORES, replicates=5)
    with pytest.raises(UsageError, match="one statistic of two models"):
        t_test_of_replicates(found["ap_macro"], found["ap_per_label"])
