"""A data set as it came, read as far as it can be: what is sound, and every fault of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import msgspec

from realmnet_benchmarks.intake.column_map import ColumnMap
from realmnet_benchmarks.intake.hospital_tables import examine_hospital_table
from realmnet_benchmarks.records import (
    IMAGE_FOLDER,
    TABLE_FOLDER,
    list_tables,
    names_in,
    psmm_home,
)
from realmnet_benchmarks.sheets import TableReading, UnknownLabels
from realmnet_benchmarks.splits import Split
from realmnet_benchmarks.tables import examine_table
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import PSMM, LabelSet

Item = TypeVar("Item")
Answer = TypeVar("Answer")

_AT_ONCE = 64


class Place(msgspec.Struct, frozen=True, order=True):
    """A row of a table; how an image is named where its file name may not be."""

    table: str
    line: int

    def __str__(self) -> str:
        return f"{self.table} line {self.line}"


@dataclass(frozen=True, repr=False)
class Entry:
    """An image of one partition and the first row that names it there."""

    place: Place
    file: str
    patient: str
    partition: str


@dataclass(frozen=True)
class Intake:
    """The tables of a data set, with their faults, and the folder of its images.

    Attributes:
        label_set: meaning of the labels.
        images: folder of the images.
        splits: name of each table that has a sound row, and those rows.
        tables: path of each table below the folder of tables.
        faults: all that is wrong with the tables; no message names a file or a patient.
    """

    label_set: LabelSet
    images: Path
    splits: Mapping[str, Split]
    tables: Mapping[str, Path]
    faults: tuple[str, ...]

    def entries(self) -> tuple[Entry, ...]:
        """Every image once a partition: a table `train_x` is a choice from `train`."""
        found: dict[tuple[str, str], Entry] = {}
        for split in self.splits.values():
            for line, file, patient in zip(split.lines, split.files, split.patients, strict=True):
                key = (split.partition, file)
                if key not in found:
                    found[key] = Entry(Place(split.name, line), file, patient, split.partition)
        return tuple(found.values())

    def names(self) -> set[str]:
        """Names in the folder of images."""
        return names_in(self.images)


def read_intake(
    root: Path | str,
    columns: ColumnMap | None = None,
    images: Path | None = None,
    label_set: LabelSet = PSMM,
    unknown_labels: UnknownLabels = "refuse",
) -> Intake:
    """Read a data set in the released layout, or one table of a hospital.

    Args:
        root: as `read_psmm` takes it; with `columns`, the hospital's CSV.
        columns: meaning of the columns of a hospital's CSV.
        images: folder of the images; None for the layout's own, or that of the hospital's CSV.
        label_set: meaning of the labels.
        unknown_labels: as `read_table` takes it; a column map has its own.

    Raises:
        MissingPath: no such data set or table.
        ConfigurationError: a hospital's table that is no CSV text or has no row, or a column map
            that does not fit the labels.
    """
    if columns is not None:
        path = Path(root)
        reading = examine_hospital_table(path, columns, label_set, images)
        name = reading.split.name if reading.split else path.stem.lower()
        return _intake(
            {name: reading}, {name: Path(f"{name}.csv")}, images or path.parent, label_set
        )
    home = psmm_home(root)
    folder = images or home / IMAGE_FOLDER
    tables, faults = list_tables(home)
    readings = {
        name: _examined(path, label_set, folder, unknown_labels) for name, path in tables.items()
    }
    below = {name: path.relative_to(home / TABLE_FOLDER) for name, path in tables.items()}
    return _intake(readings, below, folder, label_set, faults)


def in_order(
    function: Callable[[Item], Answer], items: list[Item], workers: int
) -> Iterator[Answer]:
    """Answers of a function that decodes pictures, in threads, in the order of the items."""
    # OpenCV's own threads would fight with ours.
    threads_before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            # Piece by piece, so that an interrupt or a full disk stops soon.
            for start in range(0, len(items), _AT_ONCE):
                yield from pool.map(function, items[start : start + _AT_ONCE])
    finally:
        cv2.setNumThreads(threads_before)


def _examined(
    path: Path, label_set: LabelSet, images: Path, unknown_labels: UnknownLabels
) -> TableReading:
    try:
        return examine_table(path, label_set, images, unknown_labels)
    except ConfigurationError as error:
        return TableReading(None, (str(error),))


def _intake(
    readings: Mapping[str, TableReading],
    tables: Mapping[str, Path],
    images: Path,
    label_set: LabelSet,
    faults: Iterable[str] = (),
) -> Intake:
    return Intake(
        label_set=label_set,
        images=images,
        splits={name: read.split for name, read in readings.items() if read.split is not None},
        tables=tables,
        faults=(*faults, *(fault for read in readings.values() for fault in read.faults)),
    )
