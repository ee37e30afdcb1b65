"""Each model against the reference: P as the paper has it, and an interval that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from realmnet_benchmarks.image_bootstrap import t_test_of_replicates
from realmnet_benchmarks.pages.document import NOT_RUN, Cell, Row, Table
from realmnet_benchmarks.reproduction import measures
from realmnet_benchmarks.reproduction.measured import Measured
from realmnet_benchmarks.reproduction.measures import MEASURES
from realmnet_benchmarks.reproduction.results import names_of

_COMPARED: Final = ("f1_macro", "ap_macro", "auroc_macro", "hamming_loss", "coverage")
_OTHER_IMAGES: Final = "other images"
_WEAK: Final = (
    "P is the paper's: a two-sided t-test between the models' replicates by image. It is weak "
    "evidence: replicates are not independent observations, and with enough of them any difference "
    "is significant. Judge by the paired interval beside it."
)


def comparison_table(tables: Sequence[Measured], reference: Measured | None, model: str) -> Table:
    """Differences to the reference with P and paired interval by patient.

    Args:
        tables: all models on the main test table, the reference among them.
        reference: or None where it was not run.
        model: title of the reference.
    """
    rows = []
    for name, table in zip(names_of(tables), tables, strict=True):
        if table is not reference:
            rows += _rows(name, table, reference)
    if not rows:
        rows = [Row(("any other model", ""), (Cell(NOT_RUN),) * 4)]
    return Table(
        key="comparison",
        title=f"Each model against {model}",
        columns=(
            "model",
            "measure",
            model,
            "the other",
            "other less reference, 95 % by patient, paired",
            "P (t-test of replicates)",
        ),
        rows=tuple(rows),
        notes=(_WEAK,),
    )


def _rows(name: str, table: Measured, reference: Measured | None) -> list[Row]:
    paired = None if reference is None else table.against(reference)
    rows = []
    for measure in _COMPARED:
        ours = measures.figure(measure, table.value(measure))
        if reference is None:
            cells = (Cell(NOT_RUN), ours, Cell(NOT_RUN), Cell(NOT_RUN))
        else:
            test = t_test_of_replicates(table.by_image[measure], reference.by_image[measure])
            cells = (
                measures.figure(measure, reference.value(measure)),
                ours,
                Cell(_OTHER_IMAGES)
                if paired is None
                else measures.with_span(measure, paired[measure], signed=True),
                measures.probability(float(test)),
            )
        rows.append(Row((name, MEASURES[measure].title), cells))
    return rows
