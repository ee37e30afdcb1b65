"""After every step that makes a model: answers, operating points and figures of its variants."""

from __future__ import annotations

from realmnet_benchmarks.latency import Latency
from realmnet_compression.answers import RawAnswers
from realmnet_compression.compressing.folder import METRICS_FILE, write_json
from realmnet_compression.compressing.job import Job, Making
from realmnet_compression.compressing.measured_model import (
    MeasuredModel,
    runs_of,
    write_answers,
    write_points,
)
from realmnet_compression.compressing.metrics import (
    VariantFigures,
    table_figures,
)
from realmnet_compression.compressing.steps import ExportStep, ModelStep
from realmnet_compression.compressing.tables import Table
from realmnet_compression.compressing.timing import time_runs
from realmnet_compression.parity import compare_answers
from realmnet_compression.quantisation.calibration import InputTensors
from realmnet_compression.releasing.matched_point import fit_points
from realmnet_compression.releasing.measured import (
    REFERENCE,
    Run,
    TableAnswers,
    answer_all,
    measure_answers,
)


def measure_model(step: ModelStep, making: Making) -> None:
    """Ask every variant of a model that was just made, and write what follows from the answers.

    Raises:
        BackendUnavailable, IncompatibleError: an engine that is absent or cannot run a variant.
        UsageError, ConfigurationError: development data from which no threshold can be found.
        OutputError: a file cannot be written.
    """
    runs = runs_of(step, making.folder)
    if not runs:
        return
    job = making.job
    reference = None if isinstance(step, ExportStep) else making.reference()
    answers: dict[str, TableAnswers] = {}
    for table in job.tables.every:
        found = _ask(runs, table, job)
        write_answers(making.folder, table.split.name, found)
        if reference is not None:
            found = {REFERENCE: reference.answers(table.split.name, REFERENCE), **found}
        answers[table.split.name] = TableAnswers(found)
    development = job.tables.development.split
    points = fit_points(answers[development.name], development, job.labels)
    asked = {run.plan.name for run in runs}
    write_points(making.folder, {name: point for name, point in points.items() if name in asked})
    latency = _latency(runs, reference, job)
    model = MeasuredModel(step, making.folder, points)
    write_json(
        making.folder / METRICS_FILE,
        [_figures(run, model, answers, latency[run.plan.name], job) for run in runs],
    )


def _ask(runs: list[Run], table: Table, job: Job) -> dict[str, RawAnswers]:
    """Answers by variant; variants that run the model alike answer alike and are asked once."""
    first: dict[tuple[str, str], Run] = {}
    for run in runs:
        first.setdefault(_how(run), run)
    found = answer_all(
        list(first.values()),
        InputTensors(table.prepared, job.facts.spec),
        table=table.split.name,
        labels=len(job.labels),
        threads=job.recipe.threads,
    )
    return {run.plan.name: found.by_variant[first[_how(run)].plan.name] for run in runs}


def _how(run: Run) -> tuple[str, str]:
    return run.plan.engine, run.plan.execution


def _latency(runs: list[Run], reference: MeasuredModel | None, job: Job) -> dict[str, Latency]:
    others = [] if reference is None else [reference.reference_run()]
    development = job.tables.development.prepared
    return time_runs(
        [*others, *runs],
        REFERENCE,
        InputTensors(development, job.facts.spec)[0],
        job.recipe.latency,
        labels=len(job.labels),
        threads=job.recipe.threads,
    )


def _figures(
    run: Run,
    model: MeasuredModel,
    answers: dict[str, TableAnswers],
    latency: Latency,
    job: Job,
) -> VariantFigures:
    name = run.plan.name
    tables = {}
    for table in job.tables.evidence.values():
        found = answers[table.split.name].by_variant
        metrics = measure_answers(TableAnswers({name: found[name]}), model.points, table.split)
        parity = (
            None
            if name == REFERENCE
            else compare_answers(
                (REFERENCE, found[REFERENCE], model.points[REFERENCE]),
                (name, found[name], model.points[name]),
                job.labels,
            )
        )
        tables[table.split.name] = table_figures(
            table, job.tables.measured_on, metrics[name], parity
        )
    return VariantFigures(
        variant=name,
        step=model.step.title,
        engine=run.plan.engine,
        stores=model.step.stores,
        execution=run.plan.execution,
        bytes=model.size,
        threads=job.recipe.threads,
        latency=latency,
        tables=tables,
    )
