"""Annotated pictures at the network's size, in memory, and their batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmnet_benchmarks.progress import reporting
from realmnet_training.boundary.annotations import Annotations
from realmnet_training.boundary.network import fit_mask, fit_picture

_ORDER: Final = 1
_FLIP: Final = 2


@dataclass(frozen=True)
class PreparedPart:
    """Pictures and masks of a part: the paper's 412 at 512 px take 0.4 GiB.

    Attributes:
        pictures: (N, S, S, 3) uint8 RGB.
        masks: (N, S, S) bool, true inside the aperture.
    """

    pictures: NDArray[np.uint8]
    masks: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pictures)


def prepare_part(part: Annotations, size: int, name: str) -> PreparedPart:
    """Read and fit all pictures of a part.

    Args:
        part: the table.
        size: S, pixels.
        name: of the part, for the line of progress.

    Raises:
        MissingPath, UnreadableImage: of the first picture or mask that cannot be used.
    """
    pictures = np.empty((len(part), size, size, 3), np.uint8)
    masks = np.empty((len(part), size, size), np.bool_)
    with reporting(f"{name}: pictures read") as report:
        for row in range(len(part)):
            picture, mask = part.read(row)
            pictures[row], masks[row] = fit_picture(picture, size), fit_mask(mask, size)
            report(row + 1, len(part))
    return PreparedPart(pictures, masks)


def training_batches(
    part: PreparedPart, batch: int, flip: float, seed: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one epoch; order and mirroring follow from seed and epoch alone.

    Args:
        part: at least two pictures.
        batch: pictures in each; the last has what is left, and is left out if that is one, which
            has no batch statistics.
        flip: probability of mirroring a picture, left to right.
        seed: of the order and the mirroring.
        epoch: of the same.

    Yields:
        (B, 3, S, S) uint8 RGB and (B, S, S) int64, 1 inside.
    """
    order = np.random.default_rng((seed, _ORDER, epoch)).permutation(len(part))
    mirrored = np.random.default_rng((seed, _FLIP, epoch)).random(len(part)) < flip
    for start in range(0, len(part), batch):
        rows = order[start : start + batch]
        if len(rows) < 2:
            return
        pictures, masks = part.pictures[rows], part.masks[rows]
        turned = mirrored[rows]
        pictures[turned], masks[turned] = pictures[turned, :, ::-1], masks[turned, :, ::-1]
        yield as_tensors(pictures, masks)


def as_tensors(pictures: NDArray[np.uint8], masks: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """(B, 3, S, S) uint8 and (B, S, S) int64 tensors of (B, S, S, 3) and (B, S, S) arrays."""
    channels_first = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))
    return torch.from_numpy(channels_first), torch.from_numpy(masks.astype(np.int64))
