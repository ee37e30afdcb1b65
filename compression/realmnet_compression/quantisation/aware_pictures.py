"""Training pictures for quantisation-aware training, augmented as the network was trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from torch import Tensor
from torch.utils.data import DataLoader

from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import UsageError
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.config import AugmentConfig, BatchMixConfig
from realmnet_training.pictures.batches import TrainingBatches
from realmnet_training.pictures.dataset import BatchMixer, EpochSampler, EyeDataset
from realmnet_training.pictures.prepared import PreparedSplit

TRAINING: Final = "train"
"""The only partition whose pictures may move weights."""


class Batches(Protocol):
    """Training pictures of an epoch, which follow from its number."""

    def __len__(self) -> int:
        """Steps of an epoch."""
        ...

    def epoch(self, number: int) -> Iterable[Tensor]:
        """Batches (N, 3, S, S) float32 of the epoch of this number, from 0."""
        ...


class TrainingPictures:
    """Batches of a training table; what an epoch shows follows from seed and number.

    Args:
        prepared: pictures of a training table.
        spec: the device's pre-processing.
        batch: pictures per step.
        steps: most steps of an epoch; 0 goes through the whole table.
        seed: of order and augmentation.
        augmentation: of the network's own training; None shows the pictures as they are.

    Raises:
        UsageError: another partition than the training one.
        ConfigurationError: fewer pictures than one batch.
    """

    def __init__(
        self,
        prepared: PreparedSplit,
        spec: PreprocessSpec,
        *,
        batch: int,
        steps: int = 0,
        seed: int = 42,
        augmentation: AugmentConfig | None = None,
    ) -> None:
        require_training(prepared.split)
        self._sampler = EpochSampler(len(prepared.split), seed)
        self._batches = TrainingBatches(self._sampler, batch, steps=steps)
        self._loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
            EyeDataset(prepared, spec, spec.size, augmentation, seed),  # type: ignore[arg-type]
            batch_sampler=self._batches,
            collate_fn=BatchMixer(BatchMixConfig(), seed),
        )

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, number: int) -> Iterator[Tensor]:
        """Batches (N, 3, S, S) float32 of the epoch of this number, from 0."""
        self._sampler.set_epoch(number)
        for images, _ in self._loader:
            yield images


def require_training(split: Split) -> None:
    """Refuse a table whose pictures must not move weights.

    Raises:
        UsageError: another partition than the training one.
    """
    if split.partition != TRAINING:
        raise UsageError(
            f"split '{split.name}' may not train a variant: only training pictures (split "
            f"'{TRAINING}') may; others would no longer be unseen"
        )
