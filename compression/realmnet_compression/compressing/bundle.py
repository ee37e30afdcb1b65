"""The bundle of the variants that passed and are needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from realmnet_compression.compressing.folder import write_json
from realmnet_compression.compressing.gate import answers_to, read_verdict
from realmnet_compression.compressing.job import Job, Making
from realmnet_compression.compressing.measured_model import MeasuredModel, all_points
from realmnet_compression.compressing.steps import BundleStep
from realmnet_compression.releasing.bundle_facts import (
    describe_model,
    describe_provenance,
    describe_variant,
    prove,
)
from realmnet_compression.releasing.golden import make_golden
from realmnet_compression.releasing.measured import (
    REFERENCE,
    Run,
    TableAnswers,
    compare_all,
    evidence_of,
    measure_answers,
)
from realmnet_compression.releasing.quality_fit import (
    QualityFit,
    measure_development,
    write_with_quality,
)
from realmnet_runtime.bundles.manifest import Evidence, OperatingPoint, Variant
from realmnet_runtime.bundles.writer import SUFFIX, write_bundle
from realmnet_runtime.quality.measured import MeasuredPictures
from realmnet_training.checkpoint import load_checkpoint

REPORT_FILE: Final = "bundle.json"


class BundleReport(msgspec.Struct, frozen=True):
    """What `bundle.json` says.

    Attributes:
        file: name of the bundle in the step's folder.
        bytes: of the file.
        bundle_sha256: digest of its manifest, the bundle's identity.
        variants: names, in the manifest's order.
        quality: what its limits of quality were fitted on; None where it has the runtime's own.
    """

    file: str
    bytes: int
    bundle_sha256: str
    variants: tuple[str, ...]
    quality: QualityFit | None = None


def bundle_step(step: BundleStep, making: Making) -> None:
    """Write the bundle and prove it.

    Raises:
        GateFailed: the verdict was bad, the file is too large, golden cases are unclear, or a
            self-test fails.
        UsageError, ConfigurationError: limits of quality cannot be fitted on the pictures at hand.
        OutputError: it cannot be written.
    """
    job = making.job
    verdict = read_verdict(making.taken)
    verdict.require_passed(making.taken)
    models = _without(making.models(), {found.variant for found in verdict.dominated})
    points = all_points(models)
    released = [(model, run) for model in models for run in model.runs()]
    golden, pictures = make_golden(
        step.golden,
        job.facts.spec,
        job.labels,
        [run for _, run in released],
        points,
        threads=job.recipe.threads,
    )
    model, _ = load_checkpoint(job.checkpoint)
    path = making.folder / f"{job.recipe.name}{SUFFIX}"
    quality = _measured_quality(job, models) if step.quality == "fitted" else None
    made = path if quality is None else making.folder / f"{path.stem}.without-limits{SUFFIX}"
    write_bundle(
        made,
        files={
            **{
                path: model.folder / name
                for model, _ in released
                for path, name in zip(_artifacts(model), model.step.FILES, strict=True)
            },
            **pictures,
        },
        model=describe_model(job.recipe, model),
        labels=job.labels,
        preprocess=job.facts.spec,
        variants=[_variant(measured, run, points) for measured, run in released],
        provenance=describe_provenance(job.recipe, job.facts, job.checkpoint, job.tables.records),
        golden=golden,
        evidence=_evidence(job, models),
    )
    fit = None
    if quality is not None:
        fit = write_with_quality(made, path, quality)
        made.unlink()
    digest = prove(path, step.most_bytes)
    write_json(
        making.folder / REPORT_FILE,
        BundleReport(
            file=path.name,
            bytes=path.stat().st_size,
            bundle_sha256=digest,
            variants=tuple(run.plan.name for _, run in released),
            quality=fit,
        ),
    )


def read_bundle_report(folder: Path) -> BundleReport:
    """What a bundle step left in its folder."""
    return msgspec.json.decode((folder / REPORT_FILE).read_bytes(), type=BundleReport)


def _measured_quality(job: Job, models: list[MeasuredModel]) -> MeasuredPictures:
    """The raw development pictures, with the statistics of what the released variants answered."""
    table = job.tables.development
    answers = {
        plan.name: model.answers(table.split.name, plan.name)
        for model in models
        for plan in model.step.variants
    }
    whole = job.tables.records[job.recipe.development]
    return measure_development(whole, table.prepared, job.facts.spec, answers)


def _without(models: list[MeasuredModel], dropped: set[str]) -> list[MeasuredModel]:
    """Models with the variants that are kept; the export stays, whose answers are the reference."""
    return [
        MeasuredModel(
            msgspec.structs.replace(
                model.step,
                variants=tuple(p for p in model.step.variants if p.name not in dropped),
            ),
            model.folder,
            {name: point for name, point in model.points.items() if name not in dropped},
        )
        for model in models
    ]


def _variant(model: MeasuredModel, run: Run, points: Mapping[str, OperatingPoint]) -> Variant:
    path, *second = _artifacts(model)
    return describe_variant(
        run.plan, points[run.plan.name], path, model.step.stores, second[0] if second else ""
    )


def _artifacts(model: MeasuredModel) -> list[str]:
    """Paths of a model's files in the bundle, in the step's order."""
    return [f"models/realmnet-{model.step.title}{Path(name).suffix}" for name in model.step.FILES]


def _evidence(job: Job, models: list[MeasuredModel]) -> list[Evidence]:
    points = all_points(models)
    plans = [plan for model in models for plan in model.step.variants]
    entries: list[Evidence] = []
    for table in job.tables.evidence.values():
        answers = answers_to(table.split.name, models)
        ordered = TableAnswers(
            {name: answers.by_variant[name] for name in (REFERENCE, *(p.name for p in plans))}
        )
        entries += evidence_of(
            table.split,
            measure_answers(ordered, points, table.split),
            compare_all(ordered, points, plans, job.labels),
            table.facts.refused,
            job.tables.measured_on,
        )
    return entries
