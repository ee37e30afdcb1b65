"""From prepared tables to the batches one process sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from realmnet_training.config import AugmentConfig, BatchMixConfig, Preset, Stage
from realmnet_training.pictures.batches import EvaluationBatches, TrainingBatches
from realmnet_training.pictures.dataset import BatchMixer, EpochSampler, EyeDataset
from realmnet_training.pictures.prepared import PreparedSplit


class Loaders:
    """Loaders of one stage for one process.

    Args:
        preset: what is trained.
        stage: of it.
        epochs_before: epochs of the stages before.
        share: (rank, processes).
        collate: what makes training batches of examples, given the mixer; by default the mixer.
    """

    def __init__(
        self,
        preset: Preset,
        stage: Stage,
        epochs_before: int,
        share: tuple[int, int],
        collate: Callable[[BatchMixer], Callable[..., Any]] = lambda mixer: mixer,
    ) -> None:
        self._preset = preset
        self._stage = stage
        self._epochs_before = epochs_before
        self._share = share
        self._collate = collate

    def training(self, prepared: PreparedSplit, first: int) -> DataLoader[Any]:
        """Augmented and mixed batches, in an order that seed and epoch give."""
        fit = self._preset.fit
        sampler = EpochSampler(len(prepared.split), fit.seed, self._epochs_before)
        stage = self._stage
        batches = TrainingBatches(
            sampler, stage.batch, fit.accumulate, self._share, steps=stage.steps, first=first
        )
        mixer = BatchMixer(self._preset.mix, fit.seed)
        return self._loader(prepared, batches, self._preset.augment, self._collate(mixer))

    def evaluation(self, prepared: PreparedSplit) -> DataLoader[Any]:
        """All pictures as they are, in the table's order."""
        batches = EvaluationBatches(len(prepared.split), self._stage.batch, self._share)
        mixer = BatchMixer(BatchMixConfig(), self._preset.fit.seed)
        return self._loader(prepared, batches, None, mixer)

    def _loader(
        self,
        prepared: PreparedSplit,
        batches: TrainingBatches | EvaluationBatches,
        augmentation: AugmentConfig | None,
        collate: Callable[..., Any],
    ) -> DataLoader[Any]:
        fit, spec = self._preset.fit, self._preset.preprocess
        return DataLoader(
            EyeDataset(prepared, spec, self._stage.image, augmentation, fit.seed),
            batch_sampler=batches,
            collate_fn=collate,
            num_workers=fit.workers,
            persistent_workers=fit.workers > 0,
            worker_init_fn=_alone_on_its_core,
            pin_memory=torch.cuda.is_available(),
        )


def _alone_on_its_core(worker: int) -> None:
    """OpenCV would start as many threads in each worker as there are cores; torch starts one."""
    del worker
    cv2.setNumThreads(1)
