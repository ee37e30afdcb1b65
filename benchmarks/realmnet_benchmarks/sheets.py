"""The rows of a CSV file and what is wrong with them; messages give the line, never a cell."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np

from realmnet_benchmarks.file_names import Eye
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.labels import LabelSet

UnknownLabels = Literal["refuse", "mask"]
"""What becomes of a cell that leaves its label unknown: a fault, or a label that is not known."""

UNKNOWN_CELLS: Final = ("", "?", "unknown", "nan", "na", "null")
"""How tables write that a label is not known, in lower case."""


@dataclass(frozen=True, repr=False)
class Sheet:
    """A CSV file in memory.

    Attributes:
        path: of the file.
        header: names of the columns.
        rows: line and cells of each row as wide as the header; line 1 is the header.
        faults: one message for each row of another width.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    faults: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Row:
    """One sound row: an image and all that a `Split` keeps of it; an unknown label is None."""

    line: int
    file: str
    patient: str
    labels: tuple[int | None, ...]
    source: str
    eye: Eye | None
    exam: str | None


@dataclass(frozen=True)
class TableReading:
    """A table read as far as it can be.

    Attributes:
        split: the sound rows; None where there is none.
        faults: all that is wrong, by line; none of the messages names a file or a patient.
    """

    split: Split | None
    faults: tuple[str, ...]

    def sound(self) -> Split:
        """The split of a table without a fault.

        Raises:
            ConfigurationError: the first fault.
        """
        if self.faults or self.split is None:
            raise ConfigurationError(self.faults[0])
        return self.split


def read_sheet(path: Path, delimiter: str = ",", encoding: str = "utf-8-sig") -> Sheet:
    """Read a CSV file.

    Raises:
        MissingPath: no such file.
        ConfigurationError: no CSV text in this encoding, or no row.
    """
    try:
        with path.open(encoding=encoding, newline="") as file:
            header, *rows = list(csv.reader(file, strict=True, delimiter=delimiter)) or [[]]
    except (FileNotFoundError, IsADirectoryError):
        raise MissingPath(f"{path} is not a file; give the path of a CSV table") from None
    except (UnicodeDecodeError, csv.Error):
        name = encoding.upper().removesuffix("-SIG")
        raise ConfigurationError(f"{path} is not a CSV table in {name}; export it again") from None
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise ConfigurationError(f"{path} has no row; a table needs at least one image")
    lines = [(line, tuple(row)) for line, row in enumerate(rows, start=2)]
    width = len(header)
    return Sheet(
        path=path,
        header=tuple(column.strip() for column in header),
        rows=tuple((line, row) for line, row in lines if len(row) == width),
        faults=tuple(
            f"{path}, line {line}: {len(row)} cells under {width} columns; repair it"
            for line, row in lines
            if len(row) != width
        ),
    )


@dataclass
class NameCheck:
    """What is wrong with the names of rows that are given one after another."""

    path: Path
    file_column: str
    patient_column: str
    _first: dict[str, int] = field(default_factory=dict)

    def __call__(self, line: int, file: str, patient: str) -> str | None:
        """The fault of a row, or None."""
        if not file or file in {".", ".."} or "/" in file or "\\" in file or "\0" in file:
            return (
                f"{self.path}, line {line}: '{self.file_column}' is no plain file name; remove its "
                "folder"
            )
        if not patient:
            return (
                f"{self.path}, line {line}: '{self.patient_column}' is empty; every image needs "
                "its patient"
            )
        first = self._first.setdefault(file, line)
        if first != line:
            return f"{self.path}, line {line}: repeats the file name of line {first}; keep one"
        return None


def mask_fault(label_set: LabelSet) -> str | None:
    """Why no label of a set may be left unknown, or None where each may.

    The labels of an exclusive group are one choice: they are known together or not at all, and
    a row without the choice is no row.
    """
    if not label_set.exclusive_groups:
        return None
    return (
        f"unknown_labels = 'mask' is for labels that may co-occur; those of label set "
        f"'{label_set.name}' exclude each other: grade the cells or remove their rows"
    )


def split_of(
    rows: Iterable[Row], name: str, images: Path, label_set: LabelSet, left_out: Iterable[int] = ()
) -> Split | None:
    """The split of these rows; None where there is none."""
    kept = tuple(rows)
    if not kept:
        return None
    return Split(
        name=name,
        images=images,
        label_set=label_set,
        files=tuple(row.file for row in kept),
        labels=np.array([[label or 0 for label in row.labels] for row in kept], dtype=np.uint8),
        patients=tuple(row.patient for row in kept),
        sources=tuple(row.source for row in kept),
        eyes=tuple(row.eye for row in kept),
        exams=tuple(row.exam for row in kept),
        lines=tuple(row.line for row in kept),
        left_out=tuple(left_out),
        known=np.array([[label is not None for label in row.labels] for row in kept]),
    )
