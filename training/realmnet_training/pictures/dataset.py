"""From prepared pictures to batches; what an image becomes follows from seed, epoch and index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from realmnet_runtime.pictures.preprocess import PreprocessSpec, to_tensor
from realmnet_training.config import AugmentConfig, BatchMixConfig
from realmnet_training.pictures.augment import augment, mix_batch
from realmnet_training.pictures.prepared import PreparedSplit

_ORDER: Final = 1
_PICTURE: Final = 2
_MIX: Final = 3

Place = tuple[int, int]
"""(epoch, index): which image, and in which pass over the table."""


class EyeDataset(Dataset[tuple[Tensor, Tensor, Place]]):
    """Pictures of a table at one image size.

    Args:
        prepared: the table's pictures.
        spec: the device's pre-processing; its mean and std are used here.
        image: side of the tensors, pixels; smaller than the prepared pictures in early stages.
        augmentation: None for evaluation.
        seed: of the augmentation.
    """

    def __init__(
        self,
        prepared: PreparedSplit,
        spec: PreprocessSpec,
        image: int,
        augmentation: AugmentConfig | None = None,
        seed: int = 0,
    ) -> None:
        self._prepared = prepared
        self._spec = msgspec.structs.replace(spec, size=image)
        self._augmentation = augmentation
        self._seed = seed

    def __len__(self) -> int:
        return len(self._prepared.split)

    def __getitem__(self, place: Place) -> tuple[Tensor, Tensor, Place]:
        """Return one example.

        Args:
            place: (epoch, index).

        Returns:
            Image (3, S, S) float32, targets (L,) float32, NaN where the label is unknown, and
            `place` itself.
        """
        epoch, index = place
        picture = np.asarray(self._prepared.pictures[index])
        size = self._spec.size
        if picture.shape[0] != size:
            interpolation = cv2.INTER_AREA if size < picture.shape[0] else cv2.INTER_LINEAR
            resized = cv2.resize(picture, (size, size), interpolation=interpolation)
            picture = np.asarray(resized, np.uint8)
        if self._augmentation is not None:
            random = np.random.default_rng((self._seed, _PICTURE, epoch, index))
            picture = augment(picture, self._augmentation, random)
        split = self._prepared.split
        targets = np.where(split.known[index], split.labels[index], np.float32(np.nan))
        return torch.from_numpy(to_tensor(picture, self._spec)), torch.from_numpy(targets), place


class EpochSampler(Sampler[Place]):
    """Every index once per epoch, in an order that follows from seed and epoch alone.

    Args:
        count: number of images.
        seed: of the order; None keeps the table's order.
        first_epoch: number of the epoch before Lightning says another, counted over all stages.
    """

    def __init__(self, count: int, seed: int | None, first_epoch: int = 0) -> None:
        self._count = count
        self._seed = seed
        self._first_epoch = first_epoch
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Move to an epoch of this stage; Lightning calls it before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Place]:
        epoch = self._first_epoch + self._epoch
        order: NDArray[np.int64] = np.arange(self._count)
        if self._seed is not None:
            order = np.random.default_rng((self._seed, _ORDER, epoch)).permutation(self._count)
        return ((epoch, int(index)) for index in order)


class BatchMixer:
    """Collates examples and mixes the batch by mixup or cutmix.

    Args:
        config: probabilities; with both at 0 batches are only stacked.
        seed: of the mixing; a batch's randomness follows from it and the batch's first place.
    """

    def __init__(self, config: BatchMixConfig, seed: int) -> None:
        self._config = config
        self._seed = seed

    def __call__(self, examples: list[tuple[Tensor, Tensor, Place]]) -> tuple[Tensor, Tensor]:
        """Stack examples: images (N, 3, S, S) and targets (N, L), both float32."""
        images = torch.stack([image for image, _, _ in examples])
        targets = torch.stack([target for _, target, _ in examples])
        if self._config.mixup + self._config.cutmix == 0.0:
            return images, targets
        random = np.random.default_rng((self._seed, _MIX, *examples[0][2]))
        mixed_images, mixed_targets = mix_batch(
            images.numpy(), targets.numpy(), self._config, random
        )
        return torch.from_numpy(mixed_images), torch.from_numpy(mixed_targets)
