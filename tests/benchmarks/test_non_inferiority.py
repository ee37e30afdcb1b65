"""The gate against a loop over patients with scikit-learn, and its laws."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from realmnet_benchmarks.metrics import Floats
from realmnet_benchmarks.non_inferiority import (
    Margins,
    MeasureMargins,
    NonInferiority,
    Scored,
    non_inferiority,
)
from realmnet_runtime.errors import UsageError

RNG = np.random.default_rng(3)
LABELS = (RNG.random((60, 3)) < [0.5, 0.4, 0.3]).astype(np.int64)
SCORES = np.clip(0.35 * LABELS + 0.65 * RNG.random(LABELS.shape), 0, 1)
OTHER = np.clip(SCORES + RNG.normal(0, 0.08, SCORES.shape), 0, 1)
PATIENTS = np.repeat(np.arange(20), 3)
NAMES = ("A", "B", "C")
MARGINS = Margins()


def compare(
    labels: Floats | np.ndarray = LABELS,
    first: Floats = SCORES,
    second: Floats = OTHER,
    patients: np.ndarray = PATIENTS,
    *,
    margins: Margins = MARGINS,
    replicates: int = 60,
) -> NonInferiority:
    return non_inferiority(
        labels,
        patients,
        NAMES,
        Scored("fp32", first, np.array([0.5, 0.4, 0.6])),
        Scored("int8", second, np.array([0.55, 0.35, 0.6])),
        margins=margins,
        replicates=replicates,
    )


def measured_by_sklearn(rows: np.ndarray, scores: Floats, thresholds: Floats) -> np.ndarray:
    """(3, 4): AP, AUROC, F1 of each label and their mean, of rows with repeats."""
    truth, values = LABELS[rows], scores[rows]
    of_labels = np.array(
        [
            [
                average_precision_score(truth[:, k], values[:, k]),
                roc_auc_score(truth[:, k], values[:, k]),
                f1_score(truth[:, k], values[:, k] >= thresholds[k]),
            ]
            for k in range(3)
        ]
    ).T
    return np.column_stack([of_labels.mean(axis=1), of_labels])


def test_a_loop_over_drawn_patients_gives_the_same_intervals() -> None:
    replicates = 60
    thresholds = np.array([0.5, 0.4, 0.6]), np.array([0.55, 0.35, 0.6])
    drawn = np.random.default_rng(42).multinomial(20, np.full(20, 1 / 20), size=replicates)
    differences = []
    for counts in drawn:
        rows = np.concatenate(
            [
                np.tile(np.flatnonzero(np.equal(PATIENTS, patient)), count)
                for patient, count in enumerate(counts)
            ]
        ).astype(np.intp)
        differences.append(
            measured_by_sklearn(rows, OTHER, thresholds[1])
            - measured_by_sklearn(rows, SCORES, thresholds[0])
        )
    low, high = np.percentile(np.array(differences), [2.5, 97.5], axis=0)

    found = compare(replicates=replicates)

    for place, comparison in enumerate(found.comparisons):
        cell = place % 3, place // 3
        assert comparison.low == pytest.approx(low[cell])
        assert comparison.high == pytest.approx(high[cell])
        assert comparison.passed == (low[cell] > -comparison.margin)
    assert [c.label for c in found.comparisons[::3]] == ["macro", *NAMES]
    assert (found.images, found.patients) == (60, 20)


def test_margins_are_those_of_measure_macro_and_rarest_label() -> None:
    margins = Margins(
        ap=0.1,
        auroc=0.2,
        f1=0.3,
        macro=MeasureMargins(0.4, 0.5, 0.6),
        rarest=MeasureMargins(0.7, 0.8, 0.9),
    )
    found = compare(margins=margins)

    assert found.rarest == NAMES[int(np.argmin(LABELS.sum(axis=0)))]
    by_label = {c.label: [] for c in found.comparisons}
    for comparison in found.comparisons:
        by_label[comparison.label].append(comparison.margin)
    assert by_label.pop("macro") == [0.4, 0.5, 0.6]
    assert by_label.pop(found.rarest) == [0.7, 0.8, 0.9]
    assert list(by_label.values()) == [[0.1, 0.2, 0.3]] * 2


def test_a_model_is_not_inferior_to_itself() -> None:
    point = np.full(3, 0.5)
    same = non_inferiority(
        LABELS,
        PATIENTS,
        NAMES,
        Scored("a", SCORES, point),
        Scored("b", SCORES, point),
        margins=MARGINS,
        replicates=50,
    )

    assert same.passed
    assert not same.failures
    assert {(c.difference, c.low, c.high) for c in same.comparisons} == {(0.0, 0.0, 0.0)}


def test_a_variant_that_lost_fails_and_says_in_what() -> None:
    worse = np.where(LABELS > 0, 0.6 * SCORES, SCORES)

    found = compare(second=worse)

    assert not found.passed
    assert any("int8 against fp32: AP of macro changes by -" in line for line in found.failures)


def test_order_of_pictures_does_not_matter() -> None:
    order = RNG.permutation(len(LABELS))
    plain = compare()
    shuffled = compare(LABELS[order], SCORES[order], OTHER[order], PATIENTS[order])

    for first, second in zip(plain.comparisons, shuffled.comparisons, strict=True):
        assert second.low == pytest.approx(first.low)
        assert second.difference == pytest.approx(first.difference)


def test_a_label_that_nobody_has_cannot_pass() -> None:
    labels = LABELS.copy()
    labels[:, 1] = 0

    found = compare(labels)

    absent = {c.measure: c for c in found.comparisons if c.label == "B"}
    assert absent["ap"].difference is None
    assert absent["ap"].undefined == found.replicates
    assert not absent["ap"].passed
    assert "has no value" in absent["ap"].reason
    assert msgspec.json.decode(msgspec.json.encode(found), type=NonInferiority) == found


@pytest.mark.parametrize("bad", ["margin", "names"])
def test_bad_arguments_are_refused(bad: str) -> None:
    if bad == "margin":
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({"ap": 0.0}, Margins)
        return
    scored = Scored("a", SCORES, np.full(3, 0.5))
    with pytest.raises(UsageError, match="one name for each label"):
        non_inferiority(LABELS, PATIENTS, ("A",), scored, scored, margins=MARGINS)
