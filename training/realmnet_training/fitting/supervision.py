"""What a batch teaches: its labels, or more that another floor knows of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from torch import Tensor

from realmnet_training.fitting.optimiser import Loss
from realmnet_training.losses import known_targets
from realmnet_training.pictures.dataset import BatchMixer, Place

Batch: TypeAlias = tuple[Tensor, ...]
"""Images (N, 3, S, S), targets (N, L), NaN where unknown, and what a supervision adds to them."""

Collate: TypeAlias = Callable[[list[tuple[Tensor, Tensor, Place]]], Batch]


class Supervision(Protocol):
    """Turns a model's answer to a batch into a loss."""

    @property
    def facts(self) -> dict[str, Any]:
        """What it is, JSON-ready, for the run's folder and the checkpoint; empty for labels."""
        ...

    @property
    def needs_labels(self) -> bool:
        """Whether the training table must have every label."""
        ...

    def collate(self, mixer: BatchMixer) -> Collate:
        """How examples become a batch, with what `loss` wants to know of them."""
        ...

    def loss(self, answer: tuple[Tensor, Tensor], batch: Batch, truth: Loss, stage: int) -> Tensor:
        """Return the scalar loss.

        Args:
            answer: logits (N, L) float32 and score maps (N, L, h, w) of the trained model.
            batch: as `collate` made it.
            truth: the stage's own loss of labels.
            stage: number of the stage, from 0.
        """
        ...


class LabelSupervision:
    """The labels and nothing else."""

    @property
    def facts(self) -> dict[str, Any]:
        """Nothing to say."""
        return {}

    @property
    def needs_labels(self) -> bool:
        """Without one of them it could not be learnt."""
        return True

    def collate(self, mixer: BatchMixer) -> Collate:
        """The mixer itself."""
        return mixer

    def loss(self, answer: tuple[Tensor, Tensor], batch: Batch, truth: Loss, stage: int) -> Tensor:
        """The stage's loss of the known labels."""
        del stage
        targets, known = known_targets(batch[1])
        return truth(answer[0], targets, known=known)


FROM_LABELS: Final[Supervision] = LabelSupervision()
