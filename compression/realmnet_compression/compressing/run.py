"""Running a recipe: each step once, skipped where it is done, resumed where it was broken off."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from realmnet_compression.compressing.actions import ACTIONS
from realmnet_compression.compressing.actions.trainings import student_preset, training_inputs
from realmnet_compression.compressing.bundle import read_bundle_report
from realmnet_compression.compressing.folder import (
    CompressionFolder,
    StepRecord,
    digest_of,
    key_of,
    write_record,
)
from realmnet_compression.compressing.gate import read_verdict
from realmnet_compression.compressing.job import Job, Making
from realmnet_compression.compressing.measure import measure_model
from realmnet_compression.compressing.recipe import CompressionRecipe
from realmnet_compression.compressing.steps import (
    CHECKPOINT_FILE,
    GIVEN,
    AnyStep,
    AwareStep,
    BundleStep,
    DistilStep,
    ExportStep,
    GateStep,
    ModelStep,
    OpenVinoStep,
    QuantiseStep,
    TensorRtStep,
)
from realmnet_compression.compressing.summary import write_summary
from realmnet_compression.compressing.tables import Tables, open_tables
from realmnet_compression.quantisation.aware_pictures import require_training
from realmnet_compression.quantisation.calibration import choose_calibration
from realmnet_compression.releasing.quality_fit import raw_digest, require_raw
from realmnet_compression.releasing.release import find_checkpoint, require_fit
from realmnet_runtime.backends._tensorrt import import_library
from realmnet_runtime.cli.outputs import say
from realmnet_runtime.errors import GateFailed
from realmnet_runtime.files import sha256_of
from realmnet_training.checkpoint import CheckpointFacts, read_facts


class CompressionReport(msgspec.Struct, frozen=True):
    """What a run did.

    Attributes:
        folder: with everything.
        made: steps made now, by name.
        kept: steps that were done before.
        bundle: path of the bundle; None where the recipe makes none.
        bundle_sha256: its digest.
    """

    folder: str
    made: tuple[str, ...]
    kept: tuple[str, ...]
    bundle: str | None
    bundle_sha256: str | None


def compress(
    recipe: CompressionRecipe,
    checkpoint: Path,
    data: Path,
    out: Path,
    *,
    cache: Path | None = None,
    tell: Callable[[str], None] = say,
) -> CompressionReport:
    """Run a recipe; a step that is done with the same key is kept.

    Args:
        recipe: what to make.
        checkpoint: folder or file of `realmnet train`.
        data: data set in the released PSMM layout, with the recipe's tables.
        out: folder; created where it is absent.
        cache: folder of prepared pictures; `out/cache` where None.
        tell: is told what happens, line by line.

    Raises:
        BackendUnavailable: a library that a step needs is not installed.
        UsageError, MissingPath, ConfigurationError: arguments that do not fit together, among them
            memory that ran out.
        GateFailed: a variant fails its gate, or a step its own check; no bundle is written.
        OutputError: something could not be written; finished steps are kept.
    """
    folder = CompressionFolder(out)
    folder.require_usable()
    file = find_checkpoint(checkpoint)
    facts = read_facts(file)
    require_fit(recipe.name, recipe.label_set, facts)
    cache = cache or folder.cache
    tables = open_tables(recipe, facts, data, cache)
    for step in recipe.steps:
        # said now, not after an hour of exporting and measuring
        _require_possible(step, facts, tables)
    folder.begin(recipe, tables)
    running = _Running(Job(recipe, file, file, facts, tables, data, cache), folder, tell)
    try:
        for place in range(len(recipe.steps)):
            running.step(place)
    except GateFailed:
        running.forget_what_follows()
        raise
    finally:
        write_summary(folder, running.job, running.records)
    return running.report()


def _require_possible(step: AnyStep, facts: CheckpointFacts, tables: Tables) -> None:
    """Refuse settings that fit neither checkpoint nor tables, and a library that is absent."""
    if isinstance(step, DistilStep):
        student_preset(step, facts)
    elif isinstance(step, AwareStep):
        require_training(tables.records[step.training])
        choose_calibration(tables.development.split, step.settings.calibration)
    elif isinstance(step, QuantiseStep) or (
        isinstance(step, OpenVinoStep) and step.precision == "int8"
    ):
        choose_calibration(tables.development.split, step.calibration)
    elif isinstance(step, TensorRtStep):
        import_library("tensorrt-rtx")
    elif isinstance(step, BundleStep) and step.quality == "fitted":
        require_raw(tables.development.prepared, facts.spec)


class _Running:
    """One run: which steps are done, and by which key."""

    def __init__(self, job: Job, folder: CompressionFolder, tell: Callable[[str], None]) -> None:
        self.job = job
        self.records: dict[str, StepRecord] = {}
        self._folder = folder
        self._tell = tell
        self._made: list[str] = []
        self._checkpoint_sha256 = sha256_of(job.checkpoint)

    def step(self, place: int) -> None:
        """Make a step, or keep it; a gate that failed fails again."""
        step = self.job.recipe.steps[place]
        inputs = self._inputs(place)
        settings = msgspec.to_builtins(step)
        key = key_of(settings, inputs)
        name = self.job.recipe.folders[step.title]
        where = f"step {place + 1} of {len(self.job.recipe.steps)}, {step.title} ({step.type})"
        record = self._folder.finished(name, key)
        if record is not None:
            self._tell(f"{where}: done before, kept")
        else:
            again = " again, since something it depends on has changed"
            self._tell(f"{where}{again if (self._folder.root / name).is_dir() else ''}")
            record = self._make(step, place, settings, key, inputs)
            self._made.append(step.title)
            self._tell(f"{where}: done in {record.seconds:.0f} s")
        self.records[step.title] = record
        if isinstance(step, DistilStep):
            self.job = self.job.of_student(self._folder.root / name / CHECKPOINT_FILE)
        if isinstance(step, GateStep):
            verdict = read_verdict(self._folder.root / name)
            for line in (*verdict.failures, *(found.reason for found in verdict.dominated)):
                self._tell(line)
            verdict.require_passed(self._folder.root / name)

    def forget_what_follows(self) -> None:
        """Remove products of an earlier run that rest on what no longer passes: an old bundle."""
        for step in self.job.recipe.steps:
            if step.title not in self.records or isinstance(step, BundleStep):
                shutil.rmtree(self._path(step.title), ignore_errors=True)
                self.records.pop(step.title, None)

    def report(self) -> CompressionReport:
        """What was done, after the last step."""
        bundle = digest = None
        for step in self.job.recipe.steps:
            if isinstance(step, BundleStep):
                where = self._path(step.title)
                found = read_bundle_report(where)
                bundle, digest = str(where / found.file), found.bundle_sha256
        return CompressionReport(
            folder=str(self._folder.root),
            made=tuple(self._made),
            kept=tuple(name for name in self.records if name not in self._made),
            bundle=bundle,
            bundle_sha256=digest,
        )

    def _make(
        self,
        step: AnyStep,
        place: int,
        settings: Mapping[str, object],
        key: str,
        inputs: Mapping[str, str],
    ) -> StepRecord:
        begun = time.monotonic()
        source = self.job.recipe.source_of(place)
        name = self.job.recipe.folders[step.title]
        work = self._folder.work(name, key)
        with self._folder.making(name) as made:
            making = Making(
                job=self.job,
                folder=made,
                work=work,
                source=None if source is None else self._path(source),
                earlier={name: self._path(name) for name in self.records},
            )
            ACTIONS[type(step)](step, making)
            if isinstance(step, ModelStep):
                measure_model(step, making)
            record = write_record(made, settings, key, inputs, time.monotonic() - begun)
        self._folder.forget(work)
        return record

    def _path(self, name: str) -> Path:
        if name == GIVEN:
            return self.job.checkpoint
        return self._folder.root / self.job.recipe.folders[name]

    def _inputs(self, place: int) -> dict[str, str]:
        """Digests of everything a step depends on besides its own settings."""
        recipe = self.job.recipe
        step, source = recipe.steps[place], recipe.source_of(place)
        inputs = {"checkpoint": self._checkpoint_sha256, "tables": digest_of(self.job.tables.facts)}
        if source is not None and source != GIVEN:
            inputs[f"step {source}"] = self.records[source].digest
        inputs |= training_inputs(step, self.job)
        # answers are compared with the export's; a gate and a bundle look at every model
        looks_at_all = isinstance(step, GateStep | BundleStep)
        looks_at = recipe.models if looks_at_all or isinstance(step, ModelStep) else ()
        for model in looks_at:
            if model.title in self.records and (looks_at_all or isinstance(model, ExportStep)):
                inputs[f"step {model.title}"] = self.records[model.title].digest
        if looks_at:
            measuring = (recipe.label_set, recipe.threads, recipe.latency)
            inputs["measuring"] = digest_of(measuring)
        if isinstance(step, BundleStep):
            said = (recipe.name, recipe.version, recipe.notice, recipe.trained_on, recipe.command)
            inputs["said"] = digest_of(said)
            if step.quality == "fitted":
                # the raw files: what is prepared from them may be equal where they are not
                inputs["raw pictures"] = raw_digest(self.job.tables.records[recipe.development])
        return inputs
