"""The main tables: each label, all measures, and the operating point, beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from realmnet_benchmarks.pages.document import NOT_RUN, Cell, Row, Table
from realmnet_benchmarks.published import RankedMetric, read_published
from realmnet_benchmarks.reproduction import measures
from realmnet_benchmarks.reproduction.measured import Measured
from realmnet_benchmarks.reproduction.measures import MEASURES
from realmnet_benchmarks.reproduction.results import MAIN_TEST, names_of
from realmnet_runtime.labels import PSMM

_TITLES: Final[dict[RankedMetric, str]] = {"f1": "F1", "ap": "AP", "auroc": "AUROC"}
_BY_PATIENT: Final = "95 % by patient"
_BY_IMAGE: Final = "by image, mean ± 1.96 SD (paper's text)"
_TABLE_ERROR: Final = "± as in the paper's tables"
_FITTED: Final = ("f1_macro", "f1_micro", "precision_macro", "recall_macro")


def label_tables(tables: Sequence[Measured]) -> tuple[Table, ...]:
    """F1, AP and AUROC of each label: published, ours, difference and interval by patient."""
    return tuple(_label_table(metric, tables) for metric in _TITLES)


def _label_table(metric: RankedMetric, tables: Sequence[Measured]) -> Table:
    printed = read_published()
    labels = tables[0].test.labels if tables else PSMM.names
    theirs = list(printed.per_label.f1)
    names = dict(zip(tables, names_of(tables), strict=True))
    rows: list[Row] = []
    for model in theirs:
        ours = [t for t in tables if printed.complexity.table_name(t.facts.model) == model]
        rows.append(_published_row(metric, model, labels))
        for table in ours:
            rows += _own_rows(metric, names[table], model, table)
        if not ours:
            rows.append(Row((model, "ours"), (Cell(NOT_RUN),) * (len(labels) + 1)))
    for table in tables:
        model = printed.complexity.table_name(table.facts.model)
        if model not in theirs:
            rows += _own_rows(metric, names[table], model, table)
    return Table(
        key=f"labels-{metric}",
        title=f"{_TITLES[metric]} of each label, %",
        columns=("model", "", *labels, "macro"),
        rows=tuple(rows),
        notes=(printed.per_label.source, *printed.per_label.notes),
    )


def _published_row(metric: RankedMetric, model: str, labels: Sequence[str]) -> Row:
    figures = [read_published().per_label.figure(metric, model, label) for label in labels]
    macro = _published_value(f"{metric}_macro", model)
    cells = [measures.published(metric, value) for value in (*figures, macro)]
    return Row((model, "published"), tuple(cells))


def _own_rows(metric: RankedMetric, name: str, model: str, table: Measured) -> list[Row]:
    printed = read_published().per_label
    labels = table.test.labels
    ours = [table.label_value(metric, i) for i in range(len(labels))]
    ours.append(table.value(f"{metric}_macro"))
    theirs = [printed.figure(metric, model, label) for label in labels]
    theirs.append(_published_value(f"{metric}_macro", model))
    interval = table.by_patient[f"{metric}_per_label"]
    spans = [interval.of(i) for i in range(len(labels))] + [table.by_patient[f"{metric}_macro"]]
    return [
        Row((name, "ours"), tuple(measures.figure(metric, value) for value in ours)),
        Row(
            (name, "difference"),
            tuple(measures.difference(metric, *pair) for pair in zip(ours, theirs, strict=True)),
        ),
        Row(
            (name, _BY_PATIENT),
            tuple(measures.span(metric, float(each.low), float(each.high)) for each in spans),
        ),
    ]


def _published_value(name: str, model: str) -> float | None:
    return read_published().headline.models.get(model, {}).get(name)


def overall_tables(tables: Sequence[Measured]) -> tuple[Table, ...]:
    """All measures of each model with both kinds of interval."""
    return tuple(
        _overall_table(f"overall-{number}", name, table)
        for number, (name, table) in enumerate(zip(names_of(tables), tables, strict=True), start=1)
    )


def _overall_table(key: str, name: str, table: Measured) -> Table:
    model = read_published().complexity.table_name(table.facts.model)
    known = table.test.name == MAIN_TEST
    rows = []
    for measure, words in MEASURES.items():
        theirs = _published_value(measure, model) if known else None
        patient, image = table.by_patient[measure], table.by_image[measure]
        ours = table.value(measure)
        rows.append(
            Row(
                (words.title,),
                (
                    measures.published(measure, theirs),
                    measures.figure(measure, ours),
                    measures.difference(measure, ours, theirs),
                    measures.span(measure, float(patient.low), float(patient.high)),
                    measures.span(measure, float(image.low), float(image.high)),
                    measures.figure(measure, float(image.table_error)),
                ),
            )
        )
    return Table(
        key=key,
        title=f"{name} on table {table.test.name}: all measures at threshold 0.5",
        columns=(
            "measure",
            "published",
            "ours",
            "difference",
            _BY_PATIENT,
            _BY_IMAGE,
            _TABLE_ERROR,
        ),
        rows=tuple(rows),
        notes=(
            facts_line(table),
            f"{_TABLE_ERROR}: standard deviation by image / √replicates.",
            *read_published().headline.notes,
        ),
    )


def fitted_table(tables: Sequence[Measured]) -> Table:
    """Threshold-dependent measures at 0.5 and at the operating point."""
    rows, notes = [], []
    names = (*_FITTED, "hamming_loss", "brier_macro")
    for name, table in zip(names_of(tables), tables, strict=True):
        point = table.facts.operating_point
        rows.append(Row((name, "0.5"), tuple(measures.figure(n, table.value(n)) for n in names)))
        if point is not None:
            notes.append(f"{name}: fitted on {point.fitted_on}.")
        rows.append(
            Row(
                (name, "no operating point" if point is None else "fitted"),
                tuple(measures.figure(n, table.fitted_value(n), "not fitted") for n in names),
            )
        )
    return Table(
        key="operating-points",
        title="At the fixed threshold and at the operating point",
        columns=("model", "threshold", *(MEASURES[name].title for name in names)),
        rows=tuple(rows),
        notes=(
            "AP and AUROC of a label do not depend on its temperature or threshold.",
            *notes,
        ),
    )


def facts_line(table: Measured) -> str:
    """What one must know of a result: counts, training, resolution."""
    facts, training = table.facts, table.facts.training
    upsampled = " (upsampled from smaller pictures)" if facts.upsampled else ""
    return (
        f"{table.images:,} images of {table.patients:,} patients; preset {facts.preset}, "
        f"{facts.image} px{upsampled}; trained on {training.images:,} images for "
        f"{training.epochs:,} epochs, resampling {training.resampling}, seed {training.seed}."
    )
