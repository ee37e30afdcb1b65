"""Batches that say which pictures they hold, and a checksum of each as it was fed."""

from __future__ import annotations

import zlib

import msgspec
import torch
from torch import Tensor

from realmnet_runtime.files import sha256_of
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.config import AugmentConfig, BatchMixConfig, Preset
from realmnet_training.pictures.dataset import BatchMixer, Place


class StagePictures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of a stage decides its pictures."""

    image: int
    epochs: int
    batch: int
    steps: int


class PictureFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What of a preset decides which pictures it feeds, bit for bit; the network is not in it.

    Augmentation draws from `numpy.random.default_rng((seed, 2, epoch, index))`, mixing from
    `(seed, 3, epoch, index)` with the index of the batch's first picture, and the order of an epoch
    from `(seed, 1, epoch)`: one seed and a picture's (epoch, index) give its randomness back.
    """

    seed: int
    stages: tuple[StagePictures, ...]
    accumulate: int
    preprocess: PreprocessSpec
    augment: AugmentConfig
    mix: BatchMixConfig

    @classmethod
    def of(cls, preset: Preset) -> PictureFacts:
        """Those of a preset."""
        fit = preset.fit
        stages = tuple(
            StagePictures(stage.image, stage.epochs, stage.batch, stage.steps)
            for stage in fit.stages
        )
        return cls(fit.seed, stages, fit.accumulate, preset.preprocess, preset.augment, preset.mix)

    @property
    def digest(self) -> str:
        """SHA-256 of them all."""
        return sha256_of(msgspec.json.encode(self))

    def differences(self, other: PictureFacts) -> list[str]:
        """Names of the parts in which they differ."""
        return [
            name for name in self.__struct_fields__ if getattr(self, name) != getattr(other, name)
        ]


class PlacedMixer:
    """Collates as a mixer does, and adds where each picture comes from and its checksum.

    A mixed picture has the place of its first part.

    Args:
        mixer: makes images and targets.
    """

    def __init__(self, mixer: BatchMixer) -> None:
        self._mixer = mixer

    def __call__(
        self, examples: list[tuple[Tensor, Tensor, Place]]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Images (N, 3, S, S) and targets (N, L) float32, places (N, 2) and checksums (N,) int64.

        A checksum is the CRC-32 of the picture's bytes, after augmentation and mixing.
        """
        images, targets = self._mixer(examples)
        places = torch.tensor([place for _, _, place in examples], dtype=torch.int64)
        checks = torch.tensor(
            [zlib.crc32(image.numpy().data) for image in images], dtype=torch.int64
        )
        return images, targets, places, checks
