"""What the functions of steps are given: the job, the folder to fill, and earlier products."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from realmnet_compression.compressing.measured_model import MeasuredModel, read_measured
from realmnet_compression.compressing.recipe import CompressionRecipe
from realmnet_compression.compressing.steps import ExportStep
from realmnet_compression.compressing.tables import Tables
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LabelSet
from realmnet_training.checkpoint import CheckpointFacts, read_facts


@dataclass(frozen=True)
class Job:
    """What all steps of a compression share.

    Attributes:
        recipe: resolved.
        checkpoint: file of the weights that are released: of the one given, until a step distils
            a student.
        given: file of the weights that were given: a student's teacher.
        facts: of the checkpoint.
        tables: prepared.
        data: root of the data set.
        cache: folder of prepared pictures.
    """

    recipe: CompressionRecipe
    checkpoint: Path
    given: Path
    facts: CheckpointFacts
    tables: Tables
    data: Path
    cache: Path

    @property
    def labels(self) -> LabelSet:
        """Of the checkpoint."""
        return self.facts.label_set

    def of_student(self, checkpoint: Path) -> Job:
        """The job after a student was distilled: its weights are released."""
        return dataclasses.replace(self, checkpoint=checkpoint, facts=read_facts(checkpoint))


@dataclass(frozen=True)
class Making:
    """One step being made.

    Attributes:
        job: what all steps share.
        folder: where its files go.
        work: where what outlives an interruption may go; removed when the step is done.
        source: the checkpoint file, or the folder of the step whose product it takes; None where
            it takes every variant.
        earlier: folders of the earlier steps, by name.
    """

    job: Job
    folder: Path
    work: Path
    source: Path | None
    earlier: Mapping[str, Path]

    @property
    def taken(self) -> Path:
        """The source of a step that takes one product."""
        if self.source is None:
            raise ConfigurationError("this step takes every variant; it has no single source")
        return self.source

    def models(self) -> list[MeasuredModel]:
        """Every earlier model with its variants and what was measured of them."""
        return [
            read_measured(step, self.earlier[step.title])
            for step in self.job.recipe.models
            if step.title in self.earlier
        ]

    def reference(self) -> MeasuredModel:
        """The exported FP32 model."""
        return next(model for model in self.models() if isinstance(model.step, ExportStep))
