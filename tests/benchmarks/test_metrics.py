"""Metrics against the worked example, scikit-learn, and the laws they obey."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from sklearn import metrics as sk

from realmnet_benchmarks.decisions import PAPER_RULES, DecisionRule, TopK, decide
from realmnet_benchmarks.metrics import (
    MultilabelMetrics,
    RankedScores,
    metrics_by_rule,
    multilabel_metrics,
)
from realmnet_runtime.errors import UsageError

VECTORS = Path(__file__).parents[3] / "shared/reference/vectors/metrics_200x7.json"

Table = tuple[NDArray[np.int64], NDArray[np.float64]]


@st.composite
def tables(draw: st.DrawFn, complete: bool = True) -> Table:
    """Labels and scores with many ties; `complete`: each label has both kinds of image."""
    seed = draw(st.integers(0, 2**32 - 1))
    images, labels = draw(st.integers(4, 40)), draw(st.integers(2, 6))
    levels = draw(st.sampled_from([3, 10, 10_000]))
    rng = np.random.default_rng(seed)
    truth = (rng.random((images, labels)) < rng.random(labels)).astype(np.int64)
    if complete:
        truth[0], truth[1] = 0, 1
    return truth, rng.integers(0, levels + 1, (images, labels)) / levels


def compare(ours: MultilabelMetrics, expected: dict[str, Any], tolerance: float = 1e-12) -> None:
    for name, value in expected.items():
        np.testing.assert_allclose(ours[name], value, rtol=tolerance, atol=tolerance, err_msg=name)  # type: ignore[literal-required]


@pytest.mark.skipif(not VECTORS.exists(), reason="the shared reference vectors are not here")
def test_worked_example_with_ties() -> None:
    example = json.loads(VECTORS.read_text())
    want = example["expected"]
    precision, recall, f1, _ = want["precision_recall_f1_support_None"]
    ours = multilabel_metrics(example["labels"], example["scores"])
    percent = {
        "precision_per_label": precision,
        "recall_per_label": recall,
        "f1_per_label": f1,
        "ap_macro": want["mAP_macro"],
        "ap_per_label": want["AP_classwise"],
        "auroc_macro": want["AUC_macro"],
        "auroc_per_label": want["AUC_classwise"],
    }
    for average in ("macro", "micro"):
        row = want[f"precision_recall_f1_support_{average}"]
        percent |= {
            f"{n}_{average}": v for n, v in zip(("precision", "recall", "f1"), row, strict=False)
        }
    # The released figures passed through float32.
    compare(ours, {name: np.asarray(value) / 100 for name, value in percent.items()}, 1e-6)
    compare(
        ours,
        {
            "hamming_loss": want["HammingLoss"],
            "coverage": want["Coverage"],
            "ranking_loss": want["RankingLoss"],
            "brier_per_label": want["BrierLoss_classwise"],
            "positives": np.sum(example["labels"], axis=0),
        },
    )
    others = want["sklearn"]
    compare(
        ours,
        {
            "coverage": others["coverage_minus_1"] + 1,
            "ranking_loss": want["independent"]["ranking_loss_ties_count_as_errors"],
            "hamming_loss": others["hamming_gt_0p5"],
            "ap_micro": others["average_precision_micro"],
            "auroc_micro": others["roc_auc_micro"],
            "f1_micro": others["f1_micro_ge"],
            "f1_macro": others["f1_macro_ge"],
        },
    )
    found, _ = decide(np.asarray(example["scores"]), 0.5)
    assert (found != np.asarray(example["labels"])).mean() == others["hamming_ge_0p5"]
    for threshold in (0.6, 0.7, 0.8):
        row = want[f"precision_recall_f1_support_macro_thr{threshold}"]
        for dtype in (np.float64, np.float32):
            at = multilabel_metrics(
                example["labels"], np.asarray(example["scores"], dtype=dtype), threshold
            )
            macro = [at["precision_macro"], at["recall_macro"], at["f1_macro"]]
            np.testing.assert_allclose(np.multiply(macro, 100), row[:3], rtol=1e-6)


@pytest.mark.skipif(not VECTORS.exists(), reason="the shared reference vectors are not here")
def test_worked_example_of_the_two_highest_labels() -> None:
    torch = pytest.importorskip("torch")
    example = json.loads(VECTORS.read_text())
    labels, scores = np.asarray(example["labels"]), np.asarray(example["scores"])
    ours = RankedScores.rank(labels, scores, TopK(2))
    highest = torch.as_tensor(scores).topk(2).indices.numpy()
    theirs = np.zeros(labels.shape, dtype=bool)
    np.put_along_axis(theirs, highest, True, axis=1)
    # The released code takes what torch.topk chooses among ties; elsewhere the two agree.
    falling = -np.sort(-scores, axis=1)
    untied = falling[:, 1] > falling[:, 2]
    np.testing.assert_array_equal(ours.found[untied], theirs[untied])
    assert untied.sum() == 156
    values = dataclasses.replace(ours, found=theirs).evaluate(np.ones((1, len(labels))))
    row = example["expected"]["precision_recall_f1_support_macro_top2"]
    for name, value in zip(("precision", "recall", "f1"), row, strict=False):
        assert 100 * values[f"{name}_macro"][0] == pytest.approx(value, rel=1e-6)


@settings(deadline=None, max_examples=60)
@given(tables(), st.integers(1, 6))
def test_the_highest_labels_are_as_many_as_asked_and_none_is_higher(table: Table, k: int) -> None:
    truth, scores = table
    k = min(k, truth.shape[1])
    found, strictly_found = decide(scores, TopK(k))
    np.testing.assert_array_equal(found, strictly_found)
    assert (found.sum(axis=1) == k).all()
    lowest = np.where(found, scores, np.inf).min(axis=1)
    assert (np.where(found, -np.inf, scores).max(axis=1) <= lowest).all()
    ours = multilabel_metrics(truth, scores, TopK(k))
    assert ours["f1_micro"] == pytest.approx(sk.f1_score(truth, found, average="micro"))
    assert ours["hamming_loss"] == pytest.approx(sk.hamming_loss(truth, found))


def test_of_tied_labels_the_first_is_called() -> None:
    found, _ = decide(np.array([[0.2, 0.7, 0.2, 0.2]]), TopK(2))
    np.testing.assert_array_equal(found, [[True, True, False, False]])


def test_the_rules_of_the_paper_change_decisions_only() -> None:
    rng = np.random.default_rng(5)
    labels, scores = rng.integers(0, 2, (30, 7)), rng.random((30, 7))
    by_rule = metrics_by_rule(labels, scores)
    assert list(by_rule) == ["0.5", "0.6", "0.7", "0.8", "top 2"]
    for rule, found in zip(PAPER_RULES, by_rule.values(), strict=True):
        compare(found, dict(multilabel_metrics(labels, scores, rule)))
        assert found["auroc_macro"] == by_rule["0.5"]["auroc_macro"]
    assert by_rule["0.8"]["recall_macro"] < by_rule["0.5"]["recall_macro"]


@settings(deadline=None, max_examples=150)
@given(tables(), st.sampled_from([0.3, 0.5, 0.8]))
def test_equals_scikit_learn(table: Table, threshold: float) -> None:
    truth, scores = table
    called = scores >= threshold
    expected: dict[str, Any] = {
        "hamming_loss": sk.hamming_loss(truth, scores > threshold),
        "coverage": sk.coverage_error(truth, scores),
        "ranking_loss": sk.label_ranking_loss(truth, scores),
        "brier_per_label": [
            sk.brier_score_loss(t, s) for t, s in zip(truth.T, scores.T, strict=True)
        ],
    }
    for average, suffix in ((None, "per_label"), ("macro", "macro"), ("micro", "micro")):
        values = sk.precision_recall_fscore_support(truth, called, average=average, zero_division=0)
        expected |= {
            f"{n}_{suffix}": v for n, v in zip(("precision", "recall", "f1"), values, strict=False)
        }
    for average, suffix in ((None, "per_label"), ("macro", "macro"), ("micro", "micro")):
        expected[f"ap_{suffix}"] = sk.average_precision_score(truth, scores, average=average)
        expected[f"auroc_{suffix}"] = sk.roc_auc_score(truth, scores, average=average)
    compare(multilabel_metrics(truth, scores, threshold), expected)


@settings(deadline=None, max_examples=60)
@given(tables(), st.integers(0, 2**32 - 1))
def test_a_weight_is_a_repetition(table: Table, seed: int) -> None:
    truth, scores = table
    counts = np.random.default_rng(seed).integers(0, 4, (3, len(truth)))
    counts[:, 0] += 1
    weighted = RankedScores.rank(truth, scores).evaluate(counts.astype(np.float64))
    for row, count in enumerate(counts):
        repeated = multilabel_metrics(truth.repeat(count, axis=0), scores.repeat(count, axis=0))
        compare(repeated, {name: values[row] for name, values in weighted.items()})


@settings(deadline=None, max_examples=60)
@given(tables(complete=False), st.integers(0, 2**32 - 1))
def test_image_order_does_not_matter(table: Table, seed: int) -> None:
    truth, scores = table
    shuffled = np.random.default_rng(seed).permutation(len(truth))
    expected = multilabel_metrics(truth[shuffled], scores[shuffled])
    compare(multilabel_metrics(truth, scores), dict(expected))


@settings(deadline=None, max_examples=60)
@given(tables())
def test_ranking_metrics_survive_any_increasing_map(table: Table) -> None:
    truth, scores = table
    before, after = multilabel_metrics(truth, scores), multilabel_metrics(truth, scores**3 / 2)
    for name in ("auroc_per_label", "ap_per_label", "coverage", "ranking_loss"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-12)


@settings(deadline=None, max_examples=60)
@given(tables())
def test_exchanging_the_classes_mirrors_auroc(table: Table) -> None:
    truth, scores = table
    auroc = multilabel_metrics(truth, scores)["auroc_per_label"]
    mirrored = multilabel_metrics(1 - truth, scores)["auroc_per_label"]
    np.testing.assert_allclose(auroc + mirrored, 1.0, rtol=1e-12)


def test_what_cannot_be_measured_is_nan_and_left_out_of_the_macro() -> None:
    labels = [[1, 0, 1, 0], [0, 0, 1, 0]]
    ours = multilabel_metrics(labels, [[0.9, 0.1, 0.2, 0.8], [0.2, 0.3, 0.4, 0.1]])
    np.testing.assert_array_equal(ours["ap_per_label"], [1, np.nan, 1, np.nan])
    np.testing.assert_array_equal(ours["auroc_per_label"], [1, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(ours["recall_per_label"], [1, np.nan, 0, np.nan])
    np.testing.assert_array_equal(ours["precision_per_label"], [1, np.nan, 0, 0])
    np.testing.assert_array_equal(ours["f1_per_label"], [1, np.nan, 0, 0])
    assert ours["ap_macro"] == 1.0
    assert ours["recall_macro"] == 0.5
    assert ours["f1_macro"] == pytest.approx(1 / 3)
    np.testing.assert_array_equal(ours["positives"], [1, 0, 2, 0])


def test_no_positive_anywhere_has_no_macro() -> None:
    ours = multilabel_metrics([[0, 0]], [[0.1, 0.2]])
    assert np.isnan([ours["ap_macro"], ours["auroc_macro"], ours["recall_micro"]]).all()
    assert ours["hamming_loss"] == 0.0


def test_each_label_has_its_own_threshold() -> None:
    labels, scores = [[1, 1], [0, 0]], [[0.4, 0.4], [0.2, 0.2]]
    ours = multilabel_metrics(labels, scores, [0.3, 0.5])
    np.testing.assert_array_equal(ours["f1_per_label"], [1.0, 0.0])


@pytest.mark.parametrize(
    ("labels", "scores", "threshold", "says"),
    [
        ([[1, 0]], [[0.5]], 0.5, "expected the same"),
        ([1, 0], [0.5, 0.1], 0.5, "expected the same"),
        (np.zeros((0, 7)), np.zeros((0, 7)), 0.5, "at least one image"),
        ([[2, 0]], [[0.5, 0.1]], 0.5, "other than 0 and 1"),
        ([[np.nan, 0]], [[0.5, 0.1]], 0.5, "other than 0 and 1"),
        ([[1, 0]], [[np.nan, 0.1]], 0.5, "NaN or infinity"),
        ([[1, 0]], [[3.0, -2.0]], 0.5, "apply a sigmoid"),
        ([[1, 0]], [[0.5, 0.1]], [0.5] * 3, "expected one number"),
        ([[1, 0]], [[0.5, 0.1]], np.nan, "not a finite number"),
        ([[1, 0]], [[0.5, 0.1]], TopK(3), "top 3 labels were asked for and there are 2"),
    ],
)
def test_bad_input_is_refused(
    labels: ArrayLike, scores: ArrayLike, threshold: DecisionRule, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        multilabel_metrics(labels, scores, threshold)


def test_weights_of_another_shape_are_refused() -> None:
    with pytest.raises(UsageError, match="expected \\(replicates, 2\\)"):
        RankedScores.rank([[1], [0]], [[0.5], [0.1]]).evaluate(np.ones((1, 3)))


def test_no_label_cannot_be_asked_for() -> None:
    with pytest.raises(UsageError, match="ask for 1 or more"):
        TopK(0)
