"""What a student's batch teaches: a teacher's answers, given now or stored before."""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from torch import Tensor

from realmnet_benchmarks.splits import Split
from realmnet_compression.distillation.losses import distillation_loss
from realmnet_compression.distillation.places import PictureFacts, PlacedMixer
from realmnet_compression.distillation.settings import DistilSettings
from realmnet_compression.distillation.soft_labels import SoftLabelFacts, SoftLabels
from realmnet_compression.distillation.teacher import Teacher
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.config import Preset
from realmnet_training.fitting.optimiser import Loss
from realmnet_training.fitting.supervision import FROM_LABELS, Batch, Collate
from realmnet_training.pictures.dataset import BatchMixer


class TeacherSupervision:
    """The teacher answers the very batch that the student sees, augmented and mixed.

    Args:
        teacher: of the student's labels.
        settings: weights and temperature.

    Raises:
        ConfigurationError: score maps have a weight and the teacher has none.
    """

    def __init__(self, teacher: Teacher, settings: DistilSettings) -> None:
        if settings.maps > 0.0 and not teacher.facts.score_maps:
            raise ConfigurationError(
                f"the teacher ({teacher.facts.network}) has no score maps; give --maps 0"
            )
        self._teacher = teacher
        self._settings = settings

    @property
    def facts(self) -> dict[str, Any]:
        """Teacher and settings."""
        return {
            "teacher": msgspec.to_builtins(self._teacher.facts),
            "settings": msgspec.to_builtins(self._settings),
        }

    @property
    def needs_labels(self) -> bool:
        """Whether the labels have a weight."""
        return self._settings.truth > 0.0

    def collate(self, mixer: BatchMixer) -> Collate:
        """The mixer itself."""
        return mixer

    def loss(self, answer: tuple[Tensor, Tensor], batch: Batch, truth: Loss, stage: int) -> Tensor:
        """The losses of distillation, or that of the labels before the teacher's first stage."""
        settings = self._settings
        if stage + 1 < settings.from_stage or not settings.asks_teacher:
            return FROM_LABELS.loss(answer, batch, truth, stage)
        logits, maps = self._teacher.answer(batch[0])
        return distillation_loss(*answer, logits, maps, batch[1], settings, truth=truth)


class ReplaySupervision:
    """Stored answers of a teacher, which need not be there.

    Args:
        soft_labels: of this preset's pictures and this table.
        settings: weights and temperature; no score maps are stored.
        preset: of the student.
        table: the training table as it was chosen.

    Raises:
        ConfigurationError: soft labels of other labels, pictures or another table, a stage they
            leave out, or a weight of score maps.
    """

    def __init__(
        self, soft_labels: SoftLabels, settings: DistilSettings, preset: Preset, table: Split
    ) -> None:
        if settings.maps > 0.0:
            raise ConfigurationError("a file of soft labels keeps no score maps; give --maps 0")
        _require_fit(soft_labels.facts, settings, preset, table)
        self._soft_labels = soft_labels
        self._settings = settings

    @property
    def facts(self) -> dict[str, Any]:
        """Teacher, file and settings."""
        facts = self._soft_labels.facts
        return {
            "teacher": msgspec.to_builtins(facts.teacher),
            "soft_labels": {
                "digest": self._soft_labels.digest,
                "kept": facts.kept,
                "pictures_digest": facts.pictures_digest,
                "table_digest": facts.table.digest,
            },
            "settings": msgspec.to_builtins(self._settings),
        }

    @property
    def needs_labels(self) -> bool:
        """Whether the labels have a weight."""
        return self._settings.truth > 0.0

    def collate(self, mixer: BatchMixer) -> Collate:
        """The mixer, with places and checksums."""
        return PlacedMixer(mixer)

    def loss(self, answer: tuple[Tensor, Tensor], batch: Batch, truth: Loss, stage: int) -> Tensor:
        """As with the teacher there.

        Raises:
            ConfigurationError: pictures that the teacher has not answered.
        """
        settings = self._settings
        if stage + 1 < settings.from_stage or not settings.asks_teacher:
            return FROM_LABELS.loss(answer, batch, truth, stage)
        places, checks = batch[2].cpu().numpy(), batch[3].cpu().numpy()
        stored = torch.from_numpy(self._soft_labels.answers(places, checks))
        logits = stored.to(answer[0].device)
        return distillation_loss(*answer, logits, None, batch[1], settings, truth=truth)


def _require_fit(
    facts: SoftLabelFacts, settings: DistilSettings, preset: Preset, table: Split
) -> None:
    if facts.label_set != preset.data.labels.name:
        raise ConfigurationError(
            f"the soft labels are of label set '{facts.label_set}' and preset '{preset.name}' "
            f"trains '{preset.data.labels.name}'; store them for this preset"
        )
    if different := facts.pictures.differences(PictureFacts.of(preset)):
        raise ConfigurationError(
            f"the soft labels are of another preset: {', '.join(different)} differ from those of "
            f"'{preset.name}'; give the preset and --set they were stored with, or store them again"
        )
    if facts.table.digest != table.digest:
        raise ConfigurationError(
            f"the soft labels are of another data set: {facts.table.images} images of table "
            f"'{facts.table.name}', and '{table.name}' here has {len(table)}, or others; store "
            "them again"
        )
    if settings.from_stage < facts.from_stage:
        raise ConfigurationError(
            f"the soft labels begin with stage {facts.from_stage}; give --from-stage "
            f"{facts.from_stage}, or store them from stage {settings.from_stage} on"
        )
