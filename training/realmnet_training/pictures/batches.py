"""An epoch cut into batches, and each process's share of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from torch.utils.data import Sampler

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.pictures.dataset import EpochSampler, Place

T = TypeVar("T")

ALONE: Final = (0, 1)
"""The share of a process without others: rank 0 of 1."""


class TrainingBatches(Sampler[list[Place]]):
    """Whole batches of an epoch; process r of W takes batches r, r + W, r + 2W and so on.

    So W processes that each take one batch a step see what one process sees that accumulates W
    batches: four GPUs and one GPU train alike. What does not fill a step of all processes is left
    out, as the released code leaves out the last batch.

    Args:
        sampler: order of the epoch, the same in all processes.
        batch: images of a batch.
        accumulate: batches a process takes for one step.
        share: (rank, processes).
        steps: most steps of an epoch; 0 for the whole table.
        first: batches of this process that the first epoch has behind it; a resumed run keeps its
            place so.

    Raises:
        ConfigurationError: fewer images than one step takes.
    """

    def __init__(
        self,
        sampler: EpochSampler,
        batch: int,
        accumulate: int = 1,
        share: tuple[int, int] = ALONE,
        *,
        steps: int = 0,
        first: int = 0,
    ) -> None:
        self.sampler = sampler
        """Lightning looks for it under this name, to tell it the epoch."""
        self._batch = batch
        self._rank, self._processes = share
        self._first = first
        self._count = len(sampler) // (batch * accumulate * self._processes) * accumulate
        if steps:
            self._count = min(self._count, steps * accumulate)
        if self._count == 0:
            raise ConfigurationError(
                f"{len(sampler)} training images are fewer than one step of {batch} images x "
                f"{accumulate} batches x {self._processes} processes; lower the stage's batch"
            )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[Place]]:
        order = list(self.sampler)
        first, self._first = self._first, 0
        for number in range(first, self._count):
            start = (number * self._processes + self._rank) * self._batch
            yield order[start : start + self._batch]


class EvaluationBatches(Sampler[list[Place]]):
    """Batches of a table in its order, dealt to the processes in turn; the last may be smaller.

    All processes get equally many, since distributed back ends hang where they do not: the last
    batch is repeated where they do not come out even, and `in_order` leaves the repeats out.

    Args:
        count: images of the table.
        batch: images of a batch.
        share: (rank, processes).
    """

    def __init__(self, count: int, batch: int, share: tuple[int, int] = ALONE) -> None:
        self._images = count
        self._batch = batch
        self._rank, self._processes = share
        self._all = -(-count // batch)

    def __len__(self) -> int:
        return (self._all + self._processes - 1) // self._processes

    def __iter__(self) -> Iterator[list[Place]]:
        for number in range(len(self)):
            start = min(number * self._processes + self._rank, self._all - 1) * self._batch
            yield [(0, index) for index in range(start, min(start + self._batch, self._images))]


def in_order(shares: list[list[T]], batches: int) -> list[T]:
    """The batches of all processes in the table's order, without repeats.

    Args:
        shares: one list a process, as `EvaluationBatches` dealt them.
        batches: of the whole table.
    """
    longest = max(len(share) for share in shares)
    dealt = [share[number] for number in range(longest) for share in shares]
    return dealt[:batches]
