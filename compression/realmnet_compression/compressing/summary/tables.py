"""Tables of the report of a compression."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from realmnet_benchmarks.latency import Latency
from realmnet_benchmarks.non_inferiority import MACRO, Difference, NonInferiority
from realmnet_benchmarks.pages.document import UNDEFINED, Cell, Row, Table
from realmnet_compression.compressing.eager import EAGER
from realmnet_compression.compressing.folder import StepRecord
from realmnet_compression.compressing.metrics import VariantFigures
from realmnet_compression.compressing.recipe import CompressionRecipe
from realmnet_compression.compressing.steps import CHECKPOINT_FILE, IR_FILES, ONNX_FILE
from realmnet_compression.compressing.tables import TableFacts
from realmnet_runtime.backends._engine_key import ENGINE_SUFFIX, read_record

_MODEL_FILES: Final = frozenset(
    Path(name).suffix for name in (CHECKPOINT_FILE, ONNX_FILE, *IR_FILES)
) | {ENGINE_SUFFIX}
_NAMES: Final = {"ap": "AP", "auroc": "AUROC", "f1": "F1"}


def steps_table(recipe: CompressionRecipe, records: Mapping[str, StepRecord]) -> Table:
    """Which steps are done, and by which key."""
    rows = []
    for step in recipe.steps:
        record = records.get(step.title)
        state = "not done" if record is None else f"done in {record.seconds:.0f} s"
        key = "" if record is None else record.key[:16]
        rows.append(Row((recipe.folders[step.title], step.type, state, key), ()))
    return Table("steps", "Steps", ("folder", "type", "state", "key"), tuple(rows))


def files_table(recipe: CompressionRecipe, paths: Mapping[str, Path]) -> Iterator[Table]:
    """Every model file and engine with its size; nothing before there is one."""
    rows = []
    for step in recipe.steps:
        folder = paths.get(step.title)
        for path in sorted(folder.iterdir()) if folder is not None else ():
            if path.suffix in _MODEL_FILES:
                note = _engine_note(path) if path.suffix == ENGINE_SUFFIX else step.type
                size = _megabytes(path.stat().st_size)
                rows.append(Row((f"{path.parent.name}/{path.name}", note), (size,)))
    if rows:
        yield Table("files", "Files", ("file", "made by", "MB"), tuple(rows))


def _engine_note(path: Path) -> str:
    record = read_record(path)
    key = record.key
    return (
        f"{key.built_with} {key.built_with_version} for {key.compute_capability}, "
        f"{record.precision}, in {record.build_seconds:.1f} s; not executed here"
    )


def pictures_table(facts: Sequence[TableFacts]) -> Table:
    """The development table and the evidence."""
    return Table(
        "pictures",
        "Tables of pictures",
        ("table", "role", "SHA-256", "pictures", "patients", "refused"),
        tuple(
            Row(
                (found.name, found.role, found.table_sha256[:16]),
                tuple(_count(n) for n in (found.images, found.patients, found.refused)),
            )
            for found in facts
        ),
        notes=("Development fits ranges, temperatures and thresholds; evidence fits nothing.",),
    )


def variants_table(
    name: str, figures: Sequence[VariantFigures], ratios: Mapping[str, float]
) -> Table:
    """Size, latency, accuracy and difference from FP32 of every variant on one table."""
    rows = []
    for found in figures:
        here, flips = found.tables[name], found.tables[name].flips
        differs = (
            (Cell("is FP32"),) * 3
            if flips is None
            else (
                _number(flips.per_thousand, 1),
                _number(flips.farthest, 3),
                _number(flips.peak_shift, 1),
            )
        )
        rows.append(
            Row(
                (found.variant,),
                (
                    _megabytes(found.bytes),
                    _number(ratios[found.variant], 3),
                    *(_percent(here.measures.get(f"{kind}_macro")) for kind in _NAMES),
                    *differs,
                ),
            )
        )
    facts = figures[0].tables[name]
    return Table(
        f"variants-{name}",
        f"Table {name}: {facts.images:,} pictures of {facts.patients:,} patients",
        (
            "variant",
            "MB",
            "latency / FP32 in onnxruntime",
            "mAP, %",
            "AUROC, %",
            "F1, %",
            "flips of 1,000 decisions",
            "farthest flip from its threshold",
            "peak shift, cells",
        ),
        tuple(rows),
    )


def non_inferiority_table(name: str, found: Sequence[NonInferiority]) -> Table:
    """What each variant loses against FP32: macro, and the label that loses most."""
    rows = []
    for judged in found:
        for measure, title in _NAMES.items():
            of_measure = [c for c in judged.comparisons if c.measure == measure]
            macro = next(c for c in of_measure if c.label == MACRO)
            labels = [c for c in of_measure if c.label != MACRO and c.low is not None]
            worst = min(labels, key=lambda c: (c.low or 0.0) + c.margin, default=None)
            rows.append(
                Row(
                    (judged.variant, title),
                    (
                        _difference(macro),
                        _number(100 * macro.margin, 2),
                        Cell(UNDEFINED if worst is None else worst.label),
                        Cell(UNDEFINED) if worst is None else _difference(worst),
                        Cell(UNDEFINED) if worst is None else _number(100 * worst.margin, 2),
                    ),
                )
            )
    facts = found[0]
    return Table(
        f"non-inferiority-{name}",
        f"Table {name}: variant - FP32, points [95 % interval by patient]",
        (
            "variant",
            "measure",
            "macro",
            "margin",
            "label nearest its margin",
            "difference",
            "margin",
        ),
        tuple(rows),
        notes=(
            (
                f"{facts.images:,} pictures, {facts.patients:,} patients resampled "
                f"{facts.replicates:,} times, both models on the same draws."
            ),
        ),
    )


def latency_table(latency: Mapping[str, Latency]) -> Table:
    """All variants and eager PyTorch in one run, in interleaved rounds."""
    return Table(
        "latency",
        "Latency of one picture, batch 1",
        ("", "median, ms", "quartiles, ms", "times faster than eager PyTorch"),
        tuple(
            Row(
                (name,),
                (
                    _number(found.median_ms, 1),
                    Cell(
                        f"{found.low_ms:.1f} to {found.high_ms:.1f}",
                        low=found.low_ms,
                        high=found.high_ms,
                    ),
                    _number(latency[EAGER].ratios[name], 2),
                ),
            )
            for name, found in latency.items()
        ),
        notes=(
            (
                f"{EAGER}: the checkpoint that was given, timm's own backbone and our head, FP32. "
                "Ratios are medians of paired rounds of one run; milliseconds are this machine's."
            ),
        ),
    )


def _difference(found: Difference) -> Cell:
    if found.difference is None or found.low is None or found.high is None:
        return Cell(UNDEFINED)
    low, high = 100 * found.low, 100 * found.high
    text = f"{100 * found.difference:+.2f} [{low:+.2f}, {high:+.2f}]"
    return Cell(text, value=found.difference, low=found.low, high=found.high)


def _count(value: int) -> Cell:
    return Cell(f"{value:,}", value=value)


def _number(value: float, digits: int) -> Cell:
    return Cell(f"{value:.{digits}f}", value=value)


def _percent(value: float | None) -> Cell:
    return Cell(UNDEFINED) if value is None else Cell(f"{100 * value:.2f}", value=value)


def _megabytes(size: int) -> Cell:
    return Cell(f"{size / 1e6:.1f}", value=size)
