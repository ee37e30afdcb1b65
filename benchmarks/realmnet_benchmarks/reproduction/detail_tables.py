"""The reference model looked at closely: cases, confusion of grades, calibration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.aggregation import AggregationRule, Cases, aggregate
from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.pages.document import UNDEFINED, Cell, Row, Table
from realmnet_benchmarks.reliability import reliability_curves
from realmnet_benchmarks.reproduction import measures
from realmnet_benchmarks.reproduction.measured import Measured
from realmnet_benchmarks.reproduction.measures import MEASURES
from realmnet_benchmarks.units import LEVELS, Level
from realmnet_runtime.errors import UsageError
from realmnet_runtime.labels import LabelSet

_MEASURES = ("f1_macro", "ap_macro", "auroc_macro", "hamming_loss")
_RULE = AggregationRule()
_CASES_NOTE = (
    f"A case has, of each exclusive group, the {_RULE.labels} label any of its images has, and the "
    f"{_RULE.scores} of their scores. Images whose exam or eye is not known are left out of those "
    "rows."
)
_GRADES_NOTE = (
    "The grade answered is the one of the highest probability. The last row counts again the "
    "images of which not exactly one grade reaches 0.5: the runtime gives those no grade. Images "
    "without exactly one true grade are left out."
)


def case_table(table: Measured, label_set: LabelSet) -> Table:
    """The model's figures by image, exam, eye and patient."""
    rows = [
        Row((level,), _case_cells(_cases(table, label_set, level), len(_MEASURES)))
        for level in LEVELS
    ]
    return Table(
        key="cases",
        title=f"{table.facts.model} by image, exam, eye and patient",
        columns=(
            "case",
            "cases",
            "images left out",
            *(MEASURES[name].title for name in _MEASURES),
        ),
        rows=tuple(rows),
        notes=(_CASES_NOTE,),
    )


def _cases(table: Measured, label_set: LabelSet, level: Level) -> Cases | None:
    scores = table.scores
    try:
        return aggregate(scores.labels, scores.probabilities, scores.units(level), label_set, _RULE)
    except UsageError:
        # No image of the table states its exam or its eye.
        return None


def _case_cells(cases: Cases | None, measured: int) -> tuple[Cell, ...]:
    if cases is None:
        return (Cell("0", value=0), Cell("all"), *(Cell(UNDEFINED),) * measured)
    metrics = multilabel_metrics(cases.labels, cases.scores)
    return (
        measures.count(len(cases)),
        measures.count(cases.left_out),
        *(measures.figure(n, metrics[n]) for n in _MEASURES),  # type: ignore[literal-required]
    )


def confusion_of_grades(table: Measured, label_set: LabelSet) -> NDArray[np.int64]:
    """Counts of answered by true grade, and of images without one clear grade.

    Returns:
        (G + 1, G): rows are the grade of the highest probability, columns the true one. The last
        row counts, again, the images of which not exactly one grade reaches 0.5. Images without
        exactly one true grade are left out.
    """
    columns = [label_set.index(name) for name in label_set.grades]
    truth = table.scores.labels[:, columns].astype(bool)
    scores = table.scores.probabilities[:, columns]
    clear = truth.sum(axis=1) == 1
    true, answered = truth[clear].argmax(axis=1), scores[clear].argmax(axis=1)
    counts = np.zeros((len(columns) + 1, len(columns)), np.int64)
    np.add.at(counts, (answered, true), 1)
    inconsistent = (scores[clear] >= 0.5).sum(axis=1) != 1
    np.add.at(counts, (len(columns), true[inconsistent]), 1)
    return counts


def confusion_table(table: Measured, label_set: LabelSet, counts: NDArray[np.int64]) -> Table:
    """The same as a table."""
    heads = [*label_set.grades, "inconsistent at 0.5"]
    return Table(
        key="confusion",
        title=f"{table.facts.model}: grade answered (rows) by true grade (columns), images",
        columns=("answered", *label_set.grades),
        rows=tuple(
            Row((head,), tuple(measures.count(int(n)) for n in row))
            for head, row in zip(heads, counts, strict=True)
        ),
        notes=(_GRADES_NOTE,),
    )


def calibration_table(table: Measured) -> Table:
    """Expected calibration error of each label, of sigmoid(logit) and at the operating point."""
    labels = table.scores.labels
    raw = reliability_curves(labels, table.scores.probabilities)
    calibrated = table.scores.calibrated
    rows = [_error_row("as trained", [*raw.error_per_label, raw.error_macro])]
    if calibrated is not None:
        fitted = reliability_curves(labels, calibrated)
        rows.append(_error_row("after temperatures", [*fitted.error_per_label, fitted.error_macro]))
    return Table(
        key="calibration",
        title=f"{table.facts.model}: expected calibration error, 10 bins of equal width",
        columns=("probabilities", *table.test.labels, "macro"),
        rows=tuple(rows),
    )


def _error_row(head: str, values: list[float]) -> Row:
    return Row((head,), tuple(measures.figure("calibration", float(v)) for v in values))
