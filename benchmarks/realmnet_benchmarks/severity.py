"""The order of severity among the labels of a set, and the label of several images together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.labels import LabelSet

Counts = NDArray[np.int64]

# A label that says "none of these" and yet belongs to no exclusive group.
_NONE_OF_THESE: Final = frozenset({"NoPL"})


@dataclass(frozen=True, eq=False)
class Severity:
    """Which labels outrank which.

    Attributes:
        groups: columns of each exclusive group, mildest first.
        free: columns in no group.
        absences: (L,) bool, labels that say "none": the mildest of each group, and NoPL of the
            peripheral set. They hold of several images only if they hold of each.
    """

    groups: tuple[NDArray[np.intp], ...]
    free: NDArray[np.intp]
    absences: NDArray[np.bool_]

    @classmethod
    def of(cls, label_set: LabelSet) -> Severity:
        """Read the order off a label set.

        Grades rise as `grades` lists them and staphyloma outranks its absence; of any other
        exclusive group the listed order is taken to rise.
        """
        groups = tuple(
            np.array([label_set.index(name) for name in _rising(group, label_set)], dtype=np.intp)
            for group in label_set.exclusive_groups
        )
        grouped = {int(column) for group in groups for column in group}
        absences = np.array([name in _NONE_OF_THESE for name in label_set.names])
        absences[[group[0] for group in groups]] = True
        return cls(
            groups=groups,
            free=np.array([i for i in range(len(label_set)) if i not in grouped], dtype=np.intp),
            absences=absences,
        )

    def severest(self, present: Counts, images: Counts) -> NDArray[np.bool_]:
        """Labels (U, L) of units in which `present` (U, L) of `images` (U,) have each label."""
        found = present > 0
        every = present == images[:, None]
        labels = np.where(self.absences, every, found)
        for group in self.groups:
            self._choose(
                labels, group, found[:, group].astype(np.int64) * np.arange(1, 1 + len(group))
            )
        return labels

    def majority(self, present: Counts, images: Counts) -> NDArray[np.bool_]:
        """As `severest`, by number of images; of equals the more severe."""
        twice, most = 2 * present, images[:, None]
        labels = np.where(self.absences, twice > most, twice >= most)
        for group in self.groups:
            self._choose(labels, group, present[:, group])
        return labels

    @staticmethod
    def _choose(labels: NDArray[np.bool_], group: NDArray[np.intp], rank: Counts) -> None:
        """Keep, in place, the one label of a group with the highest rank, the last of equals."""
        last = len(group) - 1 - rank[:, ::-1].argmax(axis=1)
        labels[:, group] = False
        labels[np.arange(len(labels)), group[last]] = rank.max(axis=1) > 0


def _rising(group: tuple[str, ...], label_set: LabelSet) -> tuple[str, ...]:
    if set(group) == set(label_set.grades):
        return label_set.grades
    if label_set.staphyloma in group:
        milder = tuple(name for name in group if name != label_set.staphyloma)
        return (*milder, label_set.staphyloma)
    return group
