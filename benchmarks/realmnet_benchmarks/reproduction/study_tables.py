"""One study as a table: a row for each variant, planned cells without a result said so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from realmnet_benchmarks.pages.document import NO_FIGURE, NOT_RUN, Cell, Row, Table
from realmnet_benchmarks.published import read_published
from realmnet_benchmarks.reproduction import measures
from realmnet_benchmarks.reproduction.measured import Measured
from realmnet_benchmarks.reproduction.measures import INTERVALS, MEASURES, SHORT
from realmnet_benchmarks.reproduction.results import names_by_variant
from realmnet_benchmarks.reproduction.study_plans import StudyPlan
from realmnet_benchmarks.score_facts import Level

_GRID_MEASURES: Final = ("f1_macro", "ap_macro")


def study_table(study: str, plan: StudyPlan, tables: Sequence[Measured]) -> Table:
    """Published figure where there is one, ours with interval by patient, difference.

    Args:
        study: its name.
        plan: what a whole study has.
        tables: what was run; cells beyond the plan are shown too.
    """
    names = dict(zip(tables, names_by_variant(tables), strict=True))
    planned = [(cell, [t for t in tables if _is_at(t, cell)]) for cell in plan.cells]
    rows = []
    for cell, found in planned:
        rows += [_row(t, names[t], plan) for t in found]
        if not found:
            absent = (*_beside(plan, cell, None), *(Cell(NOT_RUN),) * len(SHORT))
            rows.append(Row((_words(cell), "any model"), absent))
    seen = {id(table) for _, found in planned for table in found}
    for table in tables:
        if id(table) not in seen:
            rows.append(_row(table, names[table], plan))
    return Table(
        key=f"study-{study}",
        title=f"{plan.title}, {INTERVALS}",
        columns=(
            "variant",
            "model",
            *(("AUROC published, %", "difference") if plan.published_for else ()),
            *(MEASURES[name].title for name in SHORT),
        ),
        rows=tuple(rows),
        notes=tuple(filter(None, (plan.note, *dict.fromkeys(map(_answered, tables))))),
    )


def grid_tables(study: str, plan: StudyPlan, tables: Sequence[Measured]) -> tuple[Table, ...]:
    """F1 and AP by two factors, where results vary in exactly two."""
    factors = list(dict.fromkeys([*plan.factors, *(n for t in tables for n in t.facts.factors)]))
    cells = [(_coordinates(t, factors), t) for t in tables]
    if len(factors) != 2 or not tables or len({key for key, _ in cells}) < len(cells):
        return ()
    places = dict(cells)
    down, across = (_levels(plan, factor, tables) for factor in factors)
    return tuple(
        Table(
            key=f"grid-{study}-{measure.partition('_')[0]}",
            title=f"{plan.title}: {MEASURES[measure].title}",
            columns=(f"{factors[0]} \\ {factors[1]}", *map(_heading, across)),
            rows=tuple(
                Row(
                    (_heading(row),),
                    tuple(
                        Cell(NOT_RUN)
                        if found is None
                        else measures.figure(measure, found.value(measure))
                        for column in across
                        for found in [places.get((row, column))]
                    ),
                )
                for row in down
            ),
        )
        for measure in _GRID_MEASURES
    )


def _row(table: Measured, name: str, plan: StudyPlan) -> Row:
    words = _words(table.facts.factors) if table.facts.factors else table.facts.variant
    ours = tuple(measures.with_span(n, table.by_patient[n]) for n in SHORT)
    return Row((words, name), (*_beside(plan, table.facts.factors, table), *ours))


def _beside(
    plan: StudyPlan, factors: Mapping[str, Level], table: Measured | None
) -> tuple[Cell, ...]:
    """Published AUROC and our difference to it; no cells in a study without a published figure."""
    wanted = plan.published_for
    if not wanted:
        return ()
    if any(factors.get(name) != level for name, level in wanted.items()):
        return (Cell(NO_FIGURE), Cell(NO_FIGURE))
    theirs = read_published().peripheral.auroc_macro
    gap = (
        Cell(NOT_RUN)
        if table is None
        else measures.difference("auroc", table.value("auroc_macro"), theirs)
    )
    return (measures.published("auroc", theirs), gap)


def _is_at(table: Measured, cell: Mapping[str, Level]) -> bool:
    return all(_level(table, factor) == level for factor, level in cell.items())


def _level(table: Measured, factor: str) -> Level | None:
    """A result's level; the side of the picture need not be said twice."""
    return table.facts.factors.get(factor, table.facts.image if factor == "image" else None)


def _coordinates(table: Measured, factors: Sequence[str]) -> tuple[Level | None, ...]:
    return tuple(_level(table, factor) for factor in factors)


def _levels(plan: StudyPlan, factor: str, tables: Sequence[Measured]) -> list[Level | None]:
    planned = list(plan.factors.get(factor, ()))
    found = {_level(table, factor) for table in tables} - set(planned)
    return [
        *planned,
        *sorted(found, key=lambda level: (isinstance(level, str), level is None, level or 0)),
    ]


def _answered(table: Measured) -> str:
    return (
        f"Table {table.test.name} of label set {table.test.label_set}: {table.images:,} images of "
        f"{table.patients:,} patients."
    )


def _heading(level: Level | None) -> str:
    return "not stated" if level is None else str(level)


def _words(factors: Mapping[str, Level]) -> str:
    return ", ".join(f"{name} {level}" for name, level in factors.items()) or "any variant"
