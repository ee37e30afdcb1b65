"""Storing a teacher's soft labels: one pass over all that a training will see (Wu et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from realmnet_benchmarks.progress import reporting
from realmnet_benchmarks.splits import Split
from realmnet_compression.distillation.places import PictureFacts, PlacedMixer
from realmnet_compression.distillation.settings import DistilSettings
from realmnet_compression.distillation.soft_labels import SoftLabelFacts, save_soft_labels
from realmnet_compression.distillation.teacher import Teacher
from realmnet_training.config import Preset
from realmnet_training.measuring.evaluation import facts_of
from realmnet_training.measuring.scoring import best_device
from realmnet_training.pictures.batches import ALONE, TrainingBatches
from realmnet_training.pictures.loaders import Loaders
from realmnet_training.pictures.prepared import PreparedSplit

PlacedBatch = tuple[Tensor, Tensor, Tensor, Tensor]


def store_soft_labels(  # noqa: PLR0917 - what is asked of whom, and where it goes
    preset: Preset,
    table: Split,
    prepared: PreparedSplit,
    teacher: Teacher,
    path: Path,
    settings: DistilSettings,
    keep: int | None = None,
) -> SoftLabelFacts:
    """Ask the teacher about every picture of every epoch and keep its top answers.

    The pictures come through the loaders of training, so that a replay sees them bit for bit.
    TinyViT keeps the top classes of a softmax teacher; here every label is a question of its own,
    and the labels of the largest |logit| are kept, of which the teacher is most sure.

    Args:
        preset: whose pictures are answered; the network in it does not matter.
        table: the training table as it was chosen.
        prepared: its pictures.
        teacher: of the preset's labels.
        path: file to write.
        settings: `temperature` is noted in the file, `from_stage` leaves earlier stages out.
        keep: answers kept of each picture; None keeps all.

    Returns:
        What the file says of itself.

    Raises:
        ConfigurationError: more answers to keep than labels, no such stage, or pictures normalised
            otherwise than the teacher's.
        OutputError: the file cannot be written.
    """
    settings.require_stages(len(preset.fit.stages))
    teacher.require_pictures_of(preset.preprocess)
    labels = preset.data.labels
    pictures = PictureFacts.of(preset)
    facts = SoftLabelFacts(
        teacher=teacher.facts,
        label_set=labels.name,
        labels=len(labels),
        kept=len(labels) if keep is None else keep,
        temperature=settings.temperature,
        from_stage=settings.from_stage,
        pictures=pictures,
        pictures_digest=pictures.digest,
        table=facts_of(table),
    )
    device = torch.device("cpu") if preset.fit.accelerator == "cpu" else best_device()
    passes = training_passes(preset, prepared, settings.from_stage)
    total = sum(len(loader) * epochs for loader, epochs in passes)
    answers: list[tuple[Tensor, Tensor, Tensor]] = []
    with reporting("batches answered by the teacher") as report:
        for images, _, places, checks in placed_batches(passes):
            logits, _ = teacher.answer(images.to(device))
            answers.append((logits.cpu(), places, checks))
            report(len(answers), total)
    save_soft_labels(
        path, facts, *(torch.cat(parts).numpy() for parts in zip(*answers, strict=True))
    )
    return facts


def placed_batches(passes: list[tuple[DataLoader[Any], int]]) -> Iterator[PlacedBatch]:
    """All batches of some loaders, each gone through so many times: what training feeds."""
    for loader, epochs in passes:
        for epoch in range(epochs):
            cast("TrainingBatches", loader.batch_sampler).sampler.set_epoch(epoch)
            yield from loader


def training_passes(
    preset: Preset, prepared: PreparedSplit, from_stage: int
) -> list[tuple[DataLoader[Any], int]]:
    """Loader and epochs of each stage from one on, as training makes them."""
    passes, before = [], 0
    for number, stage in enumerate(preset.fit.stages, start=1):
        if number >= from_stage:
            loaders = Loaders(preset, stage, before, ALONE, PlacedMixer)
            passes.append((loaders.training(prepared, 0), stage.epochs))
        before += stage.epochs
    return passes
