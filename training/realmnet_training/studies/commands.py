"""`realmnet study`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from realmnet_benchmarks.accuracy_tables import ABSENT, align
from realmnet_runtime.errors import UsageError
from realmnet_runtime.suggestions import nearest
from realmnet_training.fitting.processes import is_first_process
from realmnet_training.measuring.scoring import PSMM_SOURCES
from realmnet_training.studies.definition import STUDIES, Study, read_study
from realmnet_training.studies.plan import LeftOut, PlannedCell, StudyRequest, plan_study
from realmnet_training.studies.run import CellOutcome, run_study
from realmnet_training.studies.scale import SCALES, Scale, read_scale

_FAILED_EXIT_CODE: Final = 1


def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help=f"{', '.join(STUDIES)}.")],
    *,
    data: Annotated[Path | None, typer.Option(help="Data set in the released PSMM layout.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of results; one for all studies.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CELL", help="This cell; may hold *; repeatable.")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of every cell."),
    ] = None,
    scale: Annotated[str, typer.Option(help=f"{', '.join(SCALES)}.")] = "paper",
    sources: Annotated[
        list[str] | None,
        typer.Option(metavar="PSMM=OURS", help="A source of ours in the place of PSMM's."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be run and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a study of the paper; run again to finish a broken-off one. Research use only.

    Exit codes: 0 when every cell is finished or left out with its reason, 1 when a cell failed;
    the others are run all the same.
    """
    chosen, size = read_study(name), read_scale(scale)
    request = StudyRequest(
        only=tuple(only or ()),
        changes=tuple(changes or ()),
        scale=size,
        sources=parse_sources(sources or ()),
    )
    plan = plan_study(chosen, request)
    if dry_run:
        typer.echo(_planned_json(chosen, size, plan) if as_json else _planned(chosen, size, plan))
        return
    if data is None or out is None:
        raise typer.BadParameter("--data and --out are needed unless --dry-run is given")
    outcomes = run_study(plan, data, out)
    if is_first_process():
        typer.echo(_json(chosen, size, outcomes) if as_json else _table(chosen, size, outcomes))
    if any(outcome.state == "failed" for outcome in outcomes):
        raise typer.Exit(_FAILED_EXIT_CODE)


def parse_sources(pairs: Sequence[str]) -> dict[str, str]:
    """`PSMM=OURS` to a mapping.

    Raises:
        UsageError: no such form, a source that PSMM has not, or one named twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        theirs, equals, ours = pair.partition("=")
        if not equals or not ours or "'" in ours:
            raise UsageError(f"--sources '{pair}' must look like ShenzhenEye=OurClinic")
        if theirs not in PSMM_SOURCES:
            raise UsageError(
                f"--sources '{pair}': PSMM has no source '{theirs}'; it has "
                f"{', '.join(PSMM_SOURCES)}{nearest(theirs, PSMM_SOURCES)}"
            )
        if theirs in found or ours in found.values():
            raise UsageError(f"--sources '{pair}': each source is given one place")
        found[theirs] = ours
    return found


def _head(study: Study, scale: Scale) -> list[str]:
    lines = [
        f"{study.title}; stands beside {study.reproduces}",
        f"scale {scale.name}: {scale.description}",
    ]
    return [*lines, study.note] if study.note else lines


def _planned(study: Study, scale: Scale, plan: Sequence[PlannedCell | LeftOut]) -> str:
    rows = [["cell", "preset", "protocol", "run", "px", "epochs"]]
    for cell in plan:
        if isinstance(cell, PlannedCell):
            data, fit = cell.preset.data, cell.preset.fit
            rows.append(
                [
                    cell.name,
                    cell.preset.name,
                    data.protocol or ABSENT,
                    cell.protocol_run or ABSENT,
                    str(cell.preset.preprocess.size),
                    str(sum(stage.epochs for stage in fit.stages)),
                ]
            )
    left = [f"left out: {cell.name}: {cell.reason}" for cell in plan if isinstance(cell, LeftOut)]
    return "\n".join([*_head(study, scale), *align(rows), *left])


def _table(study: Study, scale: Scale, outcomes: Sequence[CellOutcome]) -> str:
    rows = [["cell", "state", "test", "images", "mAP", "AUROC", "F1", "published beside it"]]
    for outcome in outcomes:
        beside = outcome.published or ABSENT
        rows += [
            [
                outcome.cell,
                outcome.state,
                name,
                f"{test.images:,}",
                *map(_decimal, (test.ap_macro, test.auroc_macro, test.f1_macro)),
                beside,
            ]
            for name, test in outcome.tests.items()
        ] or [[outcome.cell, outcome.state, *(ABSENT,) * 5, beside]]
    reasons = [f"{each.state}: {each.cell}: {each.reason}" for each in outcomes if each.reason]
    kinds = {test.measured_on for each in outcomes for test in each.tests.values()}
    measured = [f"measured on {' and on '.join(sorted(kinds))}, at threshold 0.5"] if kinds else []
    return "\n".join([*_head(study, scale), *align(rows), *reasons, *measured])


def _decimal(value: float) -> str:
    return ABSENT if math.isnan(value) else f"{value:.4f}"


def _planned_json(study: Study, scale: Scale, plan: Sequence[PlannedCell | LeftOut]) -> str:
    return _encoded(study, scale, [msgspec.to_builtins(cell) for cell in plan])


def _json(study: Study, scale: Scale, outcomes: Sequence[CellOutcome]) -> str:
    return _encoded(study, scale, [msgspec.to_builtins(outcome) for outcome in outcomes])


def _encoded(study: Study, scale: Scale, cells: list[Any]) -> str:
    answer = {
        "study": study.name,
        "reproduces": study.reproduces,
        "note": study.note,
        "scale": scale.name,
        "scale_description": scale.description,
        "cells": cells,
    }
    return msgspec.json.encode(answer).decode()
