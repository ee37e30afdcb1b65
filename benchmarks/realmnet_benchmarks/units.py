"""What counts as one case: an image, an exam, an eye or a patient.

Identifiers go in and numbers come out, so that nothing downstream can print one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.errors import UsageError

Level = Literal["image", "exam", "eye", "patient"]
Unstated = Literal["leave_out", "pool"]

LEVELS: Final[tuple[Level, ...]] = ("image", "exam", "eye", "patient")

_UNSTATED: Final = ("leave_out", "pool")


@dataclass(frozen=True, eq=False)
class Units:
    """The unit and the patient of every image, as numbers.

    Attributes:
        level: what a unit is.
        index: (N,) unit of each image, 0..U-1 without gaps, or -1 for one that is left out.
        patients: (N,) patient of each image, 0..P-1.
    """

    level: Level
    index: NDArray[np.intp]
    patients: NDArray[np.intp]

    def __post_init__(self) -> None:
        stated = np.unique(self.index[self.index >= 0])
        if self.index.shape != self.patients.shape or len(stated) != self.index.max(initial=-1) + 1:
            raise UsageError(
                f"units {self.index.shape} of patients {self.patients.shape}; expected (N,) each, "
                "units numbered without gaps"
            )

    @classmethod
    def of(
        cls,
        level: Level,
        patients: Sequence[object],
        eyes: Sequence[str | None] | None = None,
        exams: Sequence[object | None] | None = None,
        *,
        unstated: Unstated = "leave_out",
    ) -> Units:
        """Number the units of a table.

        An exam is one eye at one visit, since eyes are graded one by one. Where an exam or an eye
        is not stated, the image's unit is not known. `leave_out` leaves the image out, so that a
        figure by eye is about eyes; `pool` makes one unit of a patient's images that lack the same
        statement, as `Split.positive_eyes` counts them, so that no source is lost.

        Args:
            level: `image`, `exam`, `eye` or `patient`.
            patients: (N,) identifiers.
            eyes: (N,) `OD`, `OS` or None; needed for `eye` and `exam`.
            exams: (N,) any key of the visit within its patient, such as its date, or None; needed
                for `exam`.
            unstated: what becomes of images without a known unit.

        Raises:
            UsageError: another level or rule, columns of different lengths, or a column that the
                level needs and was not given.
        """
        if level not in LEVELS or unstated not in _UNSTATED:
            raise UsageError(
                f"units by '{level}' with unstated ones '{unstated}'; expected one of "
                f"{', '.join(LEVELS)} and {' or '.join(_UNSTATED)}"
            )
        columns = _columns(level, patients, eyes, exams)
        if level == "image":
            numbers = np.arange(len(patients))
        else:
            numbers = _numbered(list(zip(*columns, strict=True)), unstated)
        return cls(level, numbers, _numbered([(patient,) for patient in patients], "pool"))


def _columns(
    level: Level,
    patients: Sequence[object],
    eyes: Sequence[object | None] | None,
    exams: Sequence[object | None] | None,
) -> list[Sequence[object | None]]:
    """The columns that together name a unit."""
    columns: list[Sequence[object | None]] = [patients]
    wanted = {"exam": {"eyes": eyes, "exams": exams}, "eye": {"eyes": eyes}}.get(level, {})
    for name, column in wanted.items():
        if column is None:
            raise UsageError(f"units by {level} need the {name} of the images; give them")
        if len(column) != len(patients):
            raise UsageError(
                f"{len(column)} {name} for {len(patients)} images; give one for each, None where "
                "it is not stated"
            )
        columns.append(column)
    return columns


def _numbered(keys: list[tuple[object | None, ...]], unstated: Unstated) -> NDArray[np.intp]:
    """Numbers in order of first appearance; -1 for keys with a None that are left out."""
    numbers: dict[tuple[object | None, ...], int] = {}
    return np.array(
        [
            -1 if unstated == "leave_out" and None in key else numbers.setdefault(key, len(numbers))
            for key in keys
        ],
        dtype=np.intp,
    )
