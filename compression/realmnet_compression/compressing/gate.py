"""The gate: every variant against FP32, and which of them no machine needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from realmnet_benchmarks.dominance import Candidate, Dominated, dominated
from realmnet_benchmarks.latency import Latency
from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.non_inferiority import NonInferiority, Scored, non_inferiority
from realmnet_compression.compressing.folder import write_json
from realmnet_compression.compressing.job import Job, Making
from realmnet_compression.compressing.measured_model import MeasuredModel, all_points
from realmnet_compression.compressing.steps import GateStep
from realmnet_compression.compressing.tables import Table
from realmnet_compression.compressing.timing import time_runs
from realmnet_compression.parity import Parity, decide
from realmnet_compression.quantisation.calibration import InputTensors
from realmnet_compression.releasing.bundle_facts import cpu_requires
from realmnet_compression.releasing.measured import REFERENCE, TableAnswers, compare_all
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import GateFailed
from realmnet_runtime.structs import decode_json
from realmnet_training.checkpoint import load_checkpoint
from realmnet_training.measuring.operating_points import arrays_of

VERDICT_FILE: Final = "gate.json"


class TableVerdict(msgspec.Struct, frozen=True):
    """What was found on one evidence table.

    Attributes:
        table: its name.
        measured_on: what its pictures are.
        parity: every variant against FP32, and INT8 variants against each other.
        non_inferiority: of every variant; empty where the gate does not judge it on this table.
    """

    table: str
    measured_on: str
    parity: tuple[Parity, ...]
    non_inferiority: tuple[NonInferiority, ...]


class Verdict(msgspec.Struct, frozen=True):
    """What `gate.json` says.

    Attributes:
        failures: a line for each limit that does not hold; empty where all variants pass.
        tables: what was found.
        latency: of every variant, of FP32 in onnxruntime, and of the checkpoint that was given in
            eager PyTorch, all in one run.
        dominated: variants that pass and are not needed.
    """

    failures: tuple[str, ...]
    tables: tuple[TableVerdict, ...]
    latency: dict[str, Latency]
    dominated: tuple[Dominated, ...]

    def require_passed(self, where: Path) -> None:
        """Return where every variant passes.

        Raises:
            GateFailed: with the first reason, and where all are.
        """
        if self.failures:
            more = len(self.failures) - 1
            raise GateFailed(
                f"{self.failures[0]}{f' (and {more} more)' if more else ''}; no bundle was "
                f"written: '{where}' lists every figure; quantise fewer activations, state wider "
                "margins, or leave the variant out"
            )


def gate_step(step: GateStep, making: Making) -> None:
    """Judge every variant made so far and write the verdict, good or bad.

    Raises:
        BackendUnavailable, IncompatibleError: an engine that is absent or cannot run a variant.
        GateFailed: answers that cannot be compared at all.
        OutputError: the verdict cannot be written.
    """
    job, models = making.job, making.models()
    points = all_points(models)
    tables = tuple(
        _judge_table(step, job, models, points, table) for table in job.tables.evidence.values()
    )
    reference = making.reference()
    runs = [run for model in models for run in model.runs()]
    latency = time_runs(
        [reference.reference_run(), *runs],
        REFERENCE,
        InputTensors(job.tables.development.prepared, job.facts.spec)[0],
        job.recipe.latency,
        labels=len(job.labels),
        threads=job.recipe.threads,
        eager=load_checkpoint(job.given)[0],
    )
    accuracy = _accuracy(job, models, points)
    candidates = [
        Candidate(
            name=plan.name,
            engine=plan.engine,
            cpu_requires=cpu_requires(plan),
            bytes=model.size,
            latency=latency[plan.name].ratio,
            accuracy=accuracy[plan.name],
        )
        for model in models
        for plan in model.step.variants
    ]
    verdict = Verdict(
        failures=tuple(line for table in tables for line in _failures(table, step)),
        tables=tables,
        latency=latency,
        dominated=tuple(dominated(candidates, step.steps)),
    )
    write_json(making.folder / VERDICT_FILE, verdict)


def read_verdict(folder: Path) -> Verdict:
    """The verdict that a gate left in its folder."""
    path = folder / VERDICT_FILE
    return decode_json(path.read_bytes(), Verdict, str(path))


def answers_to(table: str, models: Sequence[MeasuredModel]) -> TableAnswers:
    """What FP32 and every variant answered to a table, as the models' folders hold it."""
    return TableAnswers(
        {name: model.answers(table, name) for model in models for name in model.points}
    )


def _judge_table(
    step: GateStep,
    job: Job,
    models: Sequence[MeasuredModel],
    points: Mapping[str, OperatingPoint],
    table: Table,
) -> TableVerdict:
    split = table.split
    answers = answers_to(split.name, models)
    plans = [plan for model in models for plan in model.step.variants]
    found: tuple[NonInferiority, ...] = ()
    if not step.tables or split.name in step.tables:
        scored = {
            name: Scored(
                name,
                decide(raw.logits, points[name], job.labels)[0],
                arrays_of(points[name], job.labels)[1],
            )
            for name, raw in answers.by_variant.items()
        }
        found = tuple(
            non_inferiority(
                split.labels,
                split.patient_index,
                split.label_set.names,
                scored[REFERENCE],
                scored[plan.name],
                margins=step.margins,
                known=split.known,
                replicates=step.replicates,
                seed=step.seed,
            )
            for plan in plans
        )
    return TableVerdict(
        table=split.name,
        measured_on=job.tables.measured_on,
        parity=tuple(compare_all(answers, points, plans, job.labels)),
        non_inferiority=found,
    )


def _failures(found: TableVerdict, step: GateStep) -> Iterator[str]:
    for parity in found.parity:
        prefix = f"on table '{found.table}' {parity.variant} against {parity.reference}:"
        if not parity.flips / parity.decisions < step.flips:
            yield (
                f"{prefix} {parity.flips_per_thousand:.1f} of 1,000 label decisions differ, "
                f"farthest {parity.farthest_flip:.3f} from its threshold; fewer than "
                f"{1000 * step.flips:g} may"
            )
        if parity.maps.least_rank_median < step.rank_correlation:
            yield (
                f"{prefix} score maps have a median rank correlation of "
                f"{parity.maps.least_rank_median:.3f}; {step.rank_correlation:g} is the least"
            )
        if parity.maps.greatest_shift_median > step.peak_shift:
            yield (
                f"{prefix} peaks of score maps move by a median of "
                f"{parity.maps.greatest_shift_median:.1f} cells; {step.peak_shift:g} may be"
            )
    for judged in found.non_inferiority:
        yield from (f"on table '{found.table}' {line}" for line in judged.failures)


def _accuracy(
    job: Job, models: Sequence[MeasuredModel], points: Mapping[str, OperatingPoint]
) -> dict[str, float]:
    """Macro average precision on the first evidence table, by variant."""
    split = next(iter(job.tables.evidence.values())).split
    return {
        name: multilabel_metrics(
            split.labels, decide(raw.logits, points[name], job.labels)[0], known=split.known
        )["ap_macro"]
        for name, raw in answers_to(split.name, models).by_variant.items()
    }
