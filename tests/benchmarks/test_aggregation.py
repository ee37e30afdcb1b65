"""Cases by exam, eye and patient against plain loops, laws, and the released tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_benchmarks.aggregation import AggregationRule, aggregate
from realmnet_benchmarks.bootstrap import metric_intervals
from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.records import read_table
from realmnet_benchmarks.severity import Severity
from realmnet_benchmarks.units import Level, Units, Unstated
from realmnet_runtime.errors import UsageError
from realmnet_runtime.labels import PERIPHERAL, PSMM, Label, LabelSet

RELEASED = Path(__file__).parents[3] / "shared/reference/psmm"

RULES = [
    AggregationRule(labels, scores)
    for labels in ("severest", "majority")
    for scores in ("mean", "max")
]


def table(seed: int, images: int = 60) -> dict[str, Any]:
    """Images with one label of each group, some without a stated eye or exam."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((images, 7), dtype=np.int64)
    labels[np.arange(images), rng.integers(0, 2, images)] = 1
    labels[np.arange(images), rng.integers(2, 7, images)] = 1
    return {
        "labels": labels,
        "scores": rng.random((images, 7)),
        "patients": [f"P-{number}" for number in rng.integers(0, 12, images)],
        "eyes": [(None, "OD", "OS")[i] for i in rng.integers(0, 3, images)],
        "exams": [(None, "a", "b")[i] for i in rng.integers(0, 3, images)],
    }


def key_of(data: dict[str, Any], row: int, level: Level) -> tuple[Any, ...]:
    columns = {"patient": ("patients",), "eye": ("patients", "eyes")}
    return tuple(data[name][row] for name in columns.get(level, ("patients", "eyes", "exams")))


def naive(data: dict[str, Any], rows: list[int], rule: AggregationRule) -> tuple[Any, Any]:
    """Label and score of one unit, read off its images one by one."""
    labels, scores = data["labels"][rows], data["scores"][rows]
    found = np.zeros(7, dtype=int)
    for group in ((0, 1), (2, 3, 4, 5, 6)):
        seen = [column for row in labels for column in group if row[column]]
        if rule.labels == "severest":
            found[max(seen)] = 1
        else:
            found[max(group, key=lambda column: (seen.count(column), column))] = 1
    if rule.scores == "mean":
        return found, scores.mean(axis=0)
    values = [(min if i in (0, 2) else max)(scores[:, i]) for i in range(7)]
    return found, np.array(values)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["exam", "eye", "patient"]),
    st.sampled_from(RULES),
    st.sampled_from(["leave_out", "pool"]),
)
def test_cases_equal_plain_loops(
    seed: int, level: Level, rule: AggregationRule, unstated: Unstated
) -> None:
    data = table(seed)
    units = Units.of(level, data["patients"], data["eyes"], data["exams"], unstated=unstated)
    cases = aggregate(data["labels"], data["scores"], units, PSMM, rule)
    members: dict[Any, list[int]] = {}
    for row in range(len(units.index)):
        key = key_of(data, row, level)
        if unstated == "pool" or None not in key:
            members.setdefault(key, []).append(row)
    assert len(cases) == len(members)
    assert cases.left_out == len(units.index) - sum(map(len, members.values()))
    disagreeing = 0
    for unit, rows in enumerate(members.values()):
        labels, scores = naive(data, rows, rule)
        np.testing.assert_array_equal(cases.labels[unit], labels)
        np.testing.assert_allclose(cases.scores[unit], scores, rtol=1e-12)
        assert cases.images[unit] == len(rows)
        assert cases.patients[unit] == units.patients[rows[0]]
        disagreeing += len(np.unique(data["labels"][rows], axis=0)) > 1
    assert cases.disagreeing == disagreeing


@pytest.mark.parametrize("rule", RULES)
def test_images_stay_as_they_are(rule: AggregationRule) -> None:
    data = table(1)
    data["labels"][0] = 1  # even where a table contradicts itself
    cases = aggregate(
        data["labels"], data["scores"], Units.of("image", data["patients"]), PSMM, rule
    )
    np.testing.assert_array_equal(cases.labels, data["labels"])
    np.testing.assert_array_equal(cases.scores, data["scores"])
    assert (cases.disagreeing, cases.left_out) == (0, 0)
    metrics = multilabel_metrics(cases.labels, cases.scores)
    assert metrics["ap_macro"] == multilabel_metrics(data["labels"], data["scores"])["ap_macro"]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_a_patient_is_myopic_pathologically_if_any_image_is(seed: int) -> None:
    def pathologic(row: NDArray[np.integer]) -> bool:
        names = [name for name, has in zip(PSMM.names, row, strict=True) if has]
        return bool(PSMM.read(names).pathologic_myopia)

    data = table(seed)
    units = Units.of("patient", data["patients"])
    cases = aggregate(data["labels"], data["scores"], units, PSMM)
    for unit, row in enumerate(cases.labels):
        assert row[:2].sum() == row[2:].sum() == 1
        images = data["labels"][units.index == unit]
        assert pathologic(row) == any(pathologic(image) for image in images)


def test_free_labels_are_any_images_and_none_is_every_images() -> None:
    labels = np.array([[1, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 0, 0, 0]])
    scores = labels * 0.6 + 0.2
    units = Units.of("patient", ["a"] * 3)
    severest = aggregate(labels, scores, units, PERIPHERAL, AggregationRule("severest", "max"))
    np.testing.assert_array_equal(severest.labels, [[0, 1, 1, 0, 0]])
    np.testing.assert_allclose(severest.scores, [[0.2, 0.8, 0.8, 0.2, 0.2]])
    majority = aggregate(labels, scores, units, PERIPHERAL, AggregationRule("majority"))
    np.testing.assert_array_equal(majority.labels, [[0, 1, 0, 0, 0]])
    healthy = aggregate(labels[[0, 0]], scores[[0, 0]], Units.of("patient", ["a"] * 2), PERIPHERAL)
    np.testing.assert_array_equal(healthy.labels, [[1, 0, 0, 0, 0]])


def test_severity_does_not_depend_on_the_order_of_the_columns() -> None:
    turned = LabelSet(
        name="turned",
        labels=tuple(Label(n, n, n) for n in ("PS", "severe", "mild", "NoPS", "x", "y")),
        exclusive_groups=(("PS", "NoPS"), ("severe", "mild"), ("y", "x")),
        grades=("mild", "severe"),
        staphyloma="PS",
    )
    severity = Severity.of(turned)
    assert [group.tolist() for group in severity.groups] == [[3, 0], [2, 1], [5, 4]]
    assert severity.free.tolist() == []
    np.testing.assert_array_equal(severity.absences, [0, 0, 1, 1, 0, 1])


def test_a_group_no_image_answers_stays_unanswered() -> None:
    labels = np.array([[1, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0]])
    cases = aggregate(labels, labels * 0.5, Units.of("patient", ["a", "a"]), PSMM)
    np.testing.assert_array_equal(cases.labels, labels[:1])


def test_cases_go_into_the_bootstrap_by_patient() -> None:
    data = table(5, images=200)
    units = Units.of("eye", data["patients"], data["eyes"])
    cases = aggregate(data["labels"], data["scores"], units, PSMM)
    assert len(cases) > len(set(cases.patients.tolist()))
    found = metric_intervals(cases.labels, cases.scores, cases.patients, replicates=20)
    assert float(found["auroc_macro"].low) < float(found["auroc_macro"].high)


def test_units_are_numbers_whatever_the_identifiers() -> None:
    units = Units.of("eye", ["p", "q", "p", "p"], ["OD", None, "OD", "OS"])
    np.testing.assert_array_equal(units.index, [0, -1, 0, 1])
    np.testing.assert_array_equal(units.patients, [0, 1, 0, 0])
    pooled = Units.of("eye", ["p", "q", "q", "p"], ["OD", None, None, "OS"], unstated="pool")
    np.testing.assert_array_equal(pooled.index, [0, 1, 1, 2])


@pytest.mark.skipif(not RELEASED.exists(), reason="the shared label tables are not here")
def test_three_hundred_released_eyes_change_their_labels() -> None:
    splits = [read_table(RELEASED / f"{name}.csv") for name in ("train", "val", "test")]
    rows = [
        (split.labels[row], split.patients[row], split.eyes[row])
        for split in splits
        for row, source in enumerate(split.sources)
        if source == "ShenzhenEye"
    ]
    labels = np.array([row[0] for row in rows])
    patients, eyes = [row[1] for row in rows], [row[2] for row in rows]
    pooled = Units.of("eye", patients, eyes, unstated="pool")
    cases = aggregate(labels, labels * 0.5, pooled, PSMM)
    assert (len(cases), cases.disagreeing, cases.left_out) == (7_644, 300, 0)
    # Three of those are a patient's pictures that state both eyes at once (OU).
    stated = aggregate(labels, labels * 0.5, Units.of("eye", patients, eyes), PSMM)
    assert (len(stated), stated.disagreeing) == (7_641, 300)


@pytest.mark.parametrize(
    ("level", "options", "says"),
    [
        ("study", {}, "expected one of image, exam, eye, patient"),
        ("eye", {}, "need the eyes"),
        ("exam", {"eyes": ["OD", "OS"]}, "need the exams"),
        ("eye", {"eyes": ["OD"]}, "1 eyes for 2 images"),
        ("eye", {"eyes": ["OD", "OS"], "unstated": "guess"}, "leave_out or pool"),
    ],
)
def test_bad_units_are_refused(level: Level, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as error:
        Units.of(level, ["secret-1", "secret-2"], **options)
    assert "secret" not in str(error.value)


def test_bad_aggregations_are_refused() -> None:
    with pytest.raises(UsageError, match="expected severest or majority"):
        AggregationRule(labels="any")  # type: ignore[arg-type]
    units = Units.of("eye", ["a", "a"], [None, None])
    labels = np.zeros((2, 7))
    with pytest.raises(UsageError, match="no image states its eye"):
        aggregate(labels, labels, units, PSMM)
    with pytest.raises(UsageError, match=r"expected \(2, 5\)"):
        aggregate(labels, labels, units, PERIPHERAL)
    with pytest.raises(UsageError, match="without gaps"):
        Units("eye", np.array([0, 2]), np.array([0, 1]))
