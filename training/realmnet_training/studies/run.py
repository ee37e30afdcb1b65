"""Running the cells of a study one after the other; what is finished is never trained again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.records import Records, read_psmm
from realmnet_benchmarks.score_tables import SUFFIX, ScoreTable, read_scores, save_scores
from realmnet_runtime.errors import ConfigurationError, OutputError, RealmnetError, UsageError
from realmnet_runtime.files import write_atomically
from realmnet_runtime.structs import decode_json
from realmnet_training.checkpoint import load_network, read_facts
from realmnet_training.config import Preset
from realmnet_training.data.selection import Selection, select_tables, tables_that_hold
from realmnet_training.fit import train_preset
from realmnet_training.fitting.journal import say
from realmnet_training.fitting.processes import is_first_process
from realmnet_training.fitting.run_folder import RunFolder
from realmnet_training.measuring.evaluation import compute_logits
from realmnet_training.measuring.scoring import Occasion, best_device, score_model
from realmnet_training.pictures.prepared import choose_prepared, prepare_split
from realmnet_training.studies.definition import Level
from realmnet_training.studies.plan import LeftOut, PlannedCell

CELL_FILE: Final = "cell.json"

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")

State = Literal["done", "skipped", "left out", "failed"]


class CellRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a finished cell's folder says; written last.

    Attributes:
        study, cell, scale: of the study.
        changes: from the preset of that name to what was trained.
        factors: coordinates in the study.
        published: place of the published figure beside it.
        preset: what was trained.
        tables: part to digest of its table; a test is `test NAME`.
        scores: name of the test to its score table in this folder.
    """

    study: str
    cell: str
    scale: str
    changes: tuple[str, ...]
    factors: dict[str, Level]
    published: str | None
    preset: Preset
    tables: dict[str, str]
    scores: dict[str, str]


class TestFigures(msgspec.Struct, frozen=True):
    """Figures of one test table at threshold 0.5, fractions."""

    __test__ = False

    images: int
    measured_on: str
    ap_macro: float
    auroc_macro: float
    f1_macro: float


class CellOutcome(msgspec.Struct, frozen=True):
    """What became of a cell.

    Attributes:
        cell: its name.
        state: `done` now, `skipped` because it was finished before, `left out` of this request,
            or `failed`.
        reason: of the last two.
        factors: coordinates in the study.
        published: place of the published figure beside it.
        tests: by name.
    """

    cell: str
    state: State
    reason: str = ""
    factors: dict[str, Level] = {}
    published: str | None = None
    tests: dict[str, TestFigures] = {}


@dataclass(frozen=True)
class _Place:
    """Where a cell is run."""

    data: Path
    folder: Path
    cache: Path


def run_study(
    plan: Sequence[PlannedCell | LeftOut], data: Path, out: Path
) -> tuple[CellOutcome, ...]:
    """Train and measure each cell in `out/STUDY/CELL`; a line on stderr tells what became of it.

    A finished cell is skipped, a broken-off one continues where it stood, and one that fails does
    not stop the others. Prepared pictures lie in `out/cache`, for all studies there.

    Args:
        plan: of `plan_study`.
        data: root of the data set.
        out: folder of the results; one for all studies.

    Raises:
        OutputError: the folder cannot be written, which holds for all cells.
    """
    outcomes = []
    for number, cell in enumerate(plan, start=1):
        outcome = (
            CellOutcome(cell.name, "left out", cell.reason)
            if isinstance(cell, LeftOut)
            else _attempted(cell, _Place(data, out / cell.study / cell.name, out / "cache"))
        )
        outcomes.append(outcome)
        if is_first_process():
            say(f"cell {number} of {len(plan)}, {outcome.cell}: {_told(outcome)}")
    return tuple(outcomes)


def _told(outcome: CellOutcome) -> str:
    if outcome.reason:
        return f"{outcome.state}: {outcome.reason}"
    figures = "; ".join(
        f"{name} mAP {test.ap_macro:.4f}, AUROC {test.auroc_macro:.4f}, F1 {test.f1_macro:.4f}"
        for name, test in outcome.tests.items()
    )
    return f"{outcome.state}, {figures}"


def _attempted(cell: PlannedCell, place: _Place) -> CellOutcome:
    try:
        state, tables = _finished(cell, place)
    except OutputError:
        raise
    except RealmnetError as error:
        return _failed(cell, str(error))
    except Exception as error:  # noqa: BLE001 - a night's other cells must not be lost to one
        # a message from elsewhere may hold a file name
        return _failed(cell, f"{type(error).__name__}, which nobody foresaw")
    return CellOutcome(
        cell.name,
        state,
        factors=cell.factors,
        published=cell.published,
        tests={name: _figures(table) for name, table in tables.items()},
    )


def _failed(cell: PlannedCell, reason: str) -> CellOutcome:
    return CellOutcome(cell.name, "failed", reason, cell.factors, cell.published)


def _finished(cell: PlannedCell, place: _Place) -> tuple[State, Mapping[str, ScoreTable]]:
    """Bring a cell to its end from wherever it stands."""
    preset = cell.preset
    records = read_psmm(place.data, preset.data.labels, preset.data.unknown_labels)
    selection = select_tables(preset.data, records, preset.fit.seed)
    if not selection.tests:
        raise UsageError("the data set has no table 'test'; a study measures on one")
    digests = _digests(selection)
    path = place.folder / CELL_FILE
    if path.is_file():
        record = decode_json(path.read_bytes(), CellRecord, str(path))
        _require_same(record, preset, digests, place.folder)
        return "skipped", {
            name: read_scores(place.folder / file) for name, file in record.scores.items()
        }
    folder = RunFolder(place.folder)
    if not _is_trained(folder, preset):
        train_preset(
            preset, place.data, place.folder, resume=folder.preset.is_file(), cache=place.cache
        )
    if not is_first_process():
        return "done", {}
    tables = _scored(cell, place, records, selection)
    files = {name: f"{_UNSAFE.sub('_', name)}{SUFFIX}" for name in tables}
    for name, table in tables.items():
        save_scores(table, place.folder / files[name])
    record = CellRecord(
        study=cell.study,
        cell=cell.name,
        scale=cell.scale,
        changes=cell.changes,
        factors=cell.factors,
        published=cell.published,
        preset=preset,
        tables=digests,
        scores=files,
    )
    write_atomically(path, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    return "done", tables


def _is_trained(folder: RunFolder, preset: Preset) -> bool:
    if not folder.checkpoint.is_file():
        return False
    facts = read_facts(folder.checkpoint)
    return facts.finished and facts.preset == preset


def _digests(selection: Selection) -> dict[str, str]:
    parts = {"train": selection.train, "development": selection.development}
    tables = parts | {f"test {name}": table for name, table in selection.tests.items()}
    return {name: table.digest for name, table in tables.items() if table is not None}


def _require_same(
    record: CellRecord, preset: Preset, digests: Mapping[str, str], folder: Path
) -> None:
    if record.preset != preset:
        raise ConfigurationError(
            f"'{folder}' holds this cell with another preset; give the same --scale, --set and "
            "--sources, or another --out"
        )
    if record.tables != digests:
        raise ConfigurationError(
            f"'{folder}' holds this cell with other tables: the data set has changed since; give "
            "another --out"
        )


def _scored(
    cell: PlannedCell, place: _Place, records: Records, selection: Selection
) -> dict[str, ScoreTable]:
    model, facts = load_network(RunFolder(place.folder).checkpoint)
    model.to(best_device())
    occasion = Occasion(cell.study, cell.name, cell.factors, cell.scale)
    tests = list(selection.tests.values())
    workers = max(1, cell.preset.fit.workers, cell.preset.fit.threads)
    whole = [
        prepare_split(table, facts.spec, place.cache, workers)
        for table in tables_that_hold(records, tests)
    ]
    tables = {}
    for name, split in selection.tests.items():
        prepared = choose_prepared(split, whole)
        logits = compute_logits(model, prepared, facts.spec)
        tables[name] = score_model(
            model, facts, prepared.split, logits, records=records, occasion=occasion
        )
    return tables


def _figures(table: ScoreTable) -> TestFigures:
    metrics = multilabel_metrics(table.labels, table.probabilities)
    return TestFigures(
        images=len(table),
        measured_on=table.facts.measured_on,
        ap_macro=float(metrics["ap_macro"]),
        auroc_macro=float(metrics["auroc_macro"]),
        f1_macro=float(metrics["f1_macro"]),
    )
