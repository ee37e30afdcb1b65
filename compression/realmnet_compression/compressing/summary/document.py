"""The report of a compression: steps, files, figures of every variant, the gate, the bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from realmnet_benchmarks.pages.document import Document, Section, Table
from realmnet_compression.compressing.bundle import BundleReport, read_bundle_report
from realmnet_compression.compressing.folder import StepRecord
from realmnet_compression.compressing.gate import Verdict, read_verdict
from realmnet_compression.compressing.job import Job
from realmnet_compression.compressing.metrics import VariantFigures
from realmnet_compression.compressing.steps import BundleStep, GateStep
from realmnet_compression.compressing.summary import tables
from realmnet_compression.compressing.summary.plots import accuracy_figure, flips_figure
from realmnet_compression.releasing.quality_fit import QualityFit


@dataclass(frozen=True)
class Done:
    """What is done of a compression so far.

    Attributes:
        job: what is being made.
        records: of the finished steps, by name.
        paths: their folders.
        figures: of every variant measured.
    """

    job: Job
    records: Mapping[str, StepRecord]
    paths: Mapping[str, Path]
    figures: tuple[VariantFigures, ...]

    @cached_property
    def verdict(self) -> Verdict | None:
        """Of the last gate that judged."""
        gates = [step.title for step in self.job.recipe.steps if isinstance(step, GateStep)]
        judged = [name for name in gates if name in self.paths]
        return read_verdict(self.paths[judged[-1]]) if judged else None

    @cached_property
    def ratios(self) -> dict[str, float]:
        """Latency by FP32's in onnxruntime: of the gate's one run, else of each step's own."""
        ratios = {found.variant: found.latency.ratio for found in self.figures}
        if self.verdict is not None:
            ratios |= {name: found.ratio for name, found in self.verdict.latency.items()}
        return ratios


def compression_report(done: Done) -> Document:
    """Everything that is known so far, as a document."""
    recipe = done.job.recipe
    return Document(
        title=f"{recipe.name} {recipe.version}",
        notices=(
            "Research use only, not a medical device.",
            recipe.notice,
            (
                f"Trained on: {recipe.trained_on}. Batch 1, {recipe.threads} threads. Made by "
                f"{recipe.command}; run it again to go on where it was broken off: a step whose "
                "step.json holds the same key is kept. recipe.json is the resolved recipe, "
                "environment.json the versions, tables.json counts and digests of the tables."
            ),
        ),
        sections=tuple(_sections(done)),
    )


def _sections(done: Done) -> Iterator[Section]:
    measured_on = done.job.tables.measured_on
    yield Section(
        key="steps",
        title="Steps, files and tables",
        measured_on=measured_on,
        tables=(
            tables.steps_table(done.job.recipe, done.records),
            *tables.files_table(done.job.recipe, done.paths),
            tables.pictures_table(done.job.tables.facts),
        ),
    )
    for name in done.job.recipe.evidence if done.figures else ():
        yield Section(
            key=f"variants-{name}",
            title=f"Variants on table {name}",
            measured_on=measured_on,
            tables=(tables.variants_table(name, done.figures, done.ratios),),
            figures=(
                accuracy_figure(name, done.figures, done.ratios),
                *flips_figure(name, done.figures),
            ),
        )
    yield Section(
        key="gate",
        title="Gate",
        measured_on=measured_on,
        text=tuple(_verdict_lines(done.verdict)),
        tables=() if done.verdict is None else tuple(_verdict_tables(done.verdict)),
    )
    for step in done.job.recipe.steps:
        if isinstance(step, BundleStep) and step.title in done.paths:
            place = done.paths[step.title]
            found = read_bundle_report(place)
            text = (_bundle_line(place.name, found), _quality_line(found.quality, done.job))
            yield Section("bundle", "Bundle", measured_on, text=text)


def _verdict_lines(verdict: Verdict | None) -> Iterator[str]:
    if verdict is None:
        yield "Not judged yet."
        return
    passed = "Failed: no bundle." if verdict.failures else "Every variant passes."
    yield f"{passed} gate.json in the gate's folder holds every comparison with its interval."
    yield from verdict.failures
    yield from (found.reason for found in verdict.dominated)


def _verdict_tables(verdict: Verdict) -> Iterator[Table]:
    for judged in verdict.tables:
        if judged.non_inferiority:
            yield tables.non_inferiority_table(judged.table, judged.non_inferiority)
    yield tables.latency_table(verdict.latency)


def _bundle_line(folder: str, found: BundleReport) -> str:
    return (
        f"{folder}/{found.file}: {found.bytes:,} bytes, variants {', '.join(found.variants)}, "
        f"digest {found.bundle_sha256}"
    )


def _quality_line(fit: QualityFit | None, job: Job) -> str:
    if fit is None:
        return "Limits of quality: the runtime's own, as the recipe says."
    left_out = ", ".join(f"{count} {kind}" for kind, count in fit.left_out.items()) or "none"
    return (
        f"Limits of quality: fitted on {fit.pictures} raw pictures of table "
        f"{job.recipe.development}; left out: {left_out}. Of those pictures lie beyond: "
        f"{fit.counts}. bundle.json has the limits, and the same of the runtime's own."
    )
