"""What a compression's folder says of itself: README, figures of all variants, plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from realmnet_compression.compressing.bundle import read_bundle_report
from realmnet_compression.compressing.folder import (
    METRICS_FILE,
    CompressionFolder,
    StepRecord,
    write_json,
)
from realmnet_compression.compressing.gate import Verdict, read_verdict
from realmnet_compression.compressing.job import Job
from realmnet_compression.compressing.metrics import VariantFigures, read_figures
from realmnet_compression.compressing.plots import draw_accuracy, draw_flips
from realmnet_compression.compressing.steps import BundleStep, GateStep
from realmnet_compression.compressing.tables import TableFacts
from realmnet_runtime.files import write_atomically


def write_summary(folder: CompressionFolder, job: Job, records: Mapping[str, StepRecord]) -> None:
    """Write the summary of what is done so far.

    Args:
        folder: of the compression.
        job: what is being made.
        records: of the finished steps, by name.

    Raises:
        OutputError: a file cannot be written.
    """
    paths = {name: folder.root / job.recipe.folders[name] for name in records}
    figures = [found for path in paths.values() for found in read_figures(path / METRICS_FILE)]
    verdict = _last_verdict(job, paths)
    ratios = {found.variant: found.latency.ratio for found in figures}
    if verdict is not None:
        # all in one run, which those of single steps are not
        ratios |= {name: latency.ratio for name, latency in verdict.latency.items()}
    plots = _plots(figures, ratios, job.recipe.evidence)
    for name, content in plots.items():
        write_atomically(folder.root / name, content)
    write_json(folder.metrics, figures)
    lines = [
        *_head(job),
        *_steps(job, records),
        *_tables(job.tables.facts),
        *_figures(figures, ratios, job.recipe.evidence),
        *_plot_lines(plots, job.tables.measured_on),
        *_verdict(verdict),
        *_bundle(job, paths),
    ]
    write_atomically(folder.readme, ("\n".join(lines) + "\n").encode())


def _last_verdict(job: Job, paths: Mapping[str, Path]) -> Verdict | None:
    gates = [step.title for step in job.recipe.steps if isinstance(step, GateStep)]
    done = [name for name in gates if name in paths]
    return read_verdict(paths[done[-1]]) if done else None


def _plots(
    figures: Sequence[VariantFigures], ratios: dict[str, float], evidence: Sequence[str]
) -> dict[str, bytes]:
    if not figures:
        return {}
    return {
        name: content
        for table in evidence
        for name, content in (
            (f"accuracy_{table}.png", draw_accuracy(figures, ratios, table)),
            (f"flips_{table}.png", draw_flips(figures, table)),
        )
    }


def _head(job: Job) -> list[str]:
    recipe = job.recipe
    return [
        f"# {recipe.name} {recipe.version}",
        "",
        f"Research use only, not a medical device. **{recipe.notice}**",
        "",
        (
            f"Trained on: {recipe.trained_on}. All figures here: measured on "
            f"{job.tables.measured_on}, batch 1, {recipe.threads} threads."
        ),
        "",
        (
            f"Made by `{recipe.command}`; `recipe.json` is the resolved recipe, "
            "`environment.json` the versions, `tables.json` counts and digests of the tables. Run "
            "it again to go on where it was broken off: a step whose `step.json` holds the same "
            "key is kept."
        ),
    ]


def _steps(job: Job, records: Mapping[str, StepRecord]) -> Iterator[str]:
    yield from ("", "## Steps", "", "| folder | type | state | key |", "|---|---|---|---|")
    for step in job.recipe.steps:
        record = records.get(step.title)
        state = "not done" if record is None else f"done in {record.seconds:.0f} s"
        key = "" if record is None else record.key[:16]
        yield f"| {job.recipe.folders[step.title]} | {step.type} | {state} | {key} |"


def _tables(tables: Sequence[TableFacts]) -> Iterator[str]:
    yield from ("", "## Tables", "", "| table | role | pictures | patients | refused | sha256 |")
    yield "|---|---|---|---|---|---|"
    for table in tables:
        yield (
            f"| {table.name} | {table.role} | {table.images:,} | {table.patients:,} | "
            f"{table.refused} | {table.table_sha256[:16]} |"
        )


def _figures(
    figures: Sequence[VariantFigures], ratios: Mapping[str, float], evidence: Sequence[str]
) -> Iterator[str]:
    for table in evidence if figures else ():
        facts = figures[0].tables[table]
        yield from ("", f"## Variants on `{table}` (measured on {facts.measured_on})", "")
        yield "| variant | MB | latency / FP32 | mAP | AUROC | F1 | flips per 1,000 | peak shift |"
        yield "|---|---|---|---|---|---|---|---|"
        for found in figures:
            here = found.tables[table]
            values = (here.measures.get(f"{name}_macro") for name in ("ap", "auroc", "f1"))
            flips = here.flips
            yield (
                f"| {found.variant} | {found.bytes / 1e6:.1f} | {ratios[found.variant]:.2f} | "
                + " | ".join("-" if value is None else f"{value:.4f}" for value in values)
                + (" | | |" if flips is None else f" | {flips.per_thousand:.1f} ")
                + ("" if flips is None else f"| {flips.peak_shift:.1f} |")
            )


def _plot_lines(plots: Mapping[str, bytes], measured_on: str) -> Iterator[str]:
    if plots:
        yield from ("", f"Measured on {measured_on}:", "")
    yield from (f"![{name.removesuffix('.png')}]({name})" for name in plots)


def _verdict(verdict: Verdict | None) -> Iterator[str]:
    yield from ("", "## Gate", "")
    if verdict is None:
        yield "Not judged yet."
        return
    passed = "Every variant passes." if not verdict.failures else "**Failed: no bundle.**"
    yield f"{passed} `gate.json` in the gate's folder holds every comparison with its interval."
    yield ""
    yield from (f"* {line}" for line in verdict.failures)
    yield from (f"* {found.reason}" for found in verdict.dominated)


def _bundle(job: Job, paths: Mapping[str, Path]) -> Iterator[str]:
    for step in job.recipe.steps:
        if isinstance(step, BundleStep) and step.title in paths:
            found = read_bundle_report(paths[step.title])
            yield from ("", "## Bundle", "")
            yield (
                f"`{paths[step.title].name}/{found.file}`: {found.bytes:,} bytes, variants "
                f"{', '.join(found.variants)}, digest {found.bundle_sha256}"
            )
