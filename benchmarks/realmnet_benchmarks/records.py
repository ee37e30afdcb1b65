"""Data sets in the layout in which PSMM was released.

    datasets/PSMM/JPEGImages/*.jpg
    datasets/PSMM/ImageSets/Main/MYOPIA/MYOPIA.csv                      the training table
    datasets/PSMM/ImageSets/Main/MYOPIA_MLRUS-20/MYOPIA_MLRUS-20.csv    the same, resampled
    datasets/PSMM/ImageSets/Main/{val,test}.csv                         and any table beside them

File names carry record numbers and dates of examinations. So nothing here prints one: errors name
the table and the line, and `repr` gives counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from realmnet_benchmarks.file_names import Eye
from realmnet_benchmarks.sheets import UnknownLabels
from realmnet_benchmarks.splits import Split
from realmnet_benchmarks.tables import TRAINING_TABLE, read_table, split_name
from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.labels import PSMM, LabelSet
from realmnet_runtime.suggestions import nearest

__all__ = ["Eye", "Records", "Split", "read_psmm", "read_table"]

IMAGE_FOLDER: Final = "JPEGImages"
TABLE_FOLDER: Final = "ImageSets/Main"

_PARTITIONS: Final = ("train", "val", "test")


@dataclass(frozen=True)
class Records:
    """All tables of one data set, by name; no patient is in two partitions.

    `records["val"]` gives a table or an error with the nearest name; `"val" in records` asks.

    Attributes:
        root: the folder that holds `JPEGImages` and `ImageSets`.
        splits: name to table: training tables, `val`, `test`, then others, each by name.
    """

    root: Path
    splits: Mapping[str, Split]

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))
        _refuse_shared_patients(self.splits)

    def __getitem__(self, name: str) -> Split:
        try:
            return self.splits[name]
        except KeyError:
            raise ConfigurationError(
                f"data set {self.root} has no split '{name}'; it has {', '.join(self.splits)}"
                f"{nearest(name, self.splits)}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.splits)

    def __contains__(self, name: object) -> bool:
        return name in self.splits


def read_psmm(
    root: Path | str, label_set: LabelSet = PSMM, unknown_labels: UnknownLabels = "refuse"
) -> Records:
    """Read a data set in the released layout.

    Args:
        root: the folder above `datasets`, `datasets`, or `PSMM` itself.
        label_set: meaning of the label columns.
        unknown_labels: as `read_table` takes it; PSMM's own labels are never unknown.

    Raises:
        MissingPath: no such folder, no table in it, no image, or a table's image is not there.
        ConfigurationError: a table that `read_table` refuses, two tables of one name, or a patient
            in two partitions.
    """
    home = psmm_home(root)
    images = home / IMAGE_FOLDER
    present = names_in(images)
    if not present:
        raise MissingPath(f"{images} holds no image; put the pictures of the data set there")
    tables = find_tables(home)
    splits = {
        name: read_table(path, label_set, images, unknown_labels) for name, path in tables.items()
    }
    for name, split in splits.items():
        absent = [
            line for line, file in zip(split.lines, split.files, strict=True) if file not in present
        ]
        if absent:
            raise MissingPath(
                f"{tables[name]}: {len(absent)} of {len(split)} images are not in {images}, the "
                f"first in line {absent[0]}; complete the folder or remove the lines"
            )
    return Records(home, splits)


def psmm_home(root: Path | str) -> Path:
    """The folder `PSMM` of a data set that is given by it, by `datasets`, or by the one above.

    Raises:
        MissingPath: none of them holds the folder of tables.
    """
    given = Path(root)
    for home in (given, given / "PSMM", given / "datasets" / "PSMM"):
        if (home / TABLE_FOLDER).is_dir():
            return home
    raise MissingPath(
        f"{root} holds no PSMM data set; give the folder above 'datasets/PSMM/{TABLE_FOLDER}', "
        "'datasets', or 'PSMM' itself"
    )


def find_tables(home: Path) -> dict[str, Path]:
    """Name of each split and its table: training tables, `val`, `test`, then others by name.

    Raises:
        MissingPath: no table.
        ConfigurationError: two tables of one name.
    """
    tables, faults = list_tables(home)
    if faults:
        raise ConfigurationError(faults[0])
    return tables


def list_tables(home: Path) -> tuple[dict[str, Path], list[str]]:
    """As `find_tables`, but tables whose name is taken are told as faults and left out.

    Raises:
        MissingPath: no table.
    """
    main = home / TABLE_FOLDER
    tables: dict[str, Path] = {}
    faults = []
    for path in sorted([*main.glob("*.csv"), *main.glob("*/*.csv")]):
        name = split_name(path)
        if name in tables:
            faults.append(
                f"{path} and {tables[name]} are both the split '{name}'; keep one of them"
            )
        tables.setdefault(name, path)
    if not tables:
        raise MissingPath(f"{main} holds no table; expected {TRAINING_TABLE}, val.csv, test.csv")
    return {name: tables[name] for name in sorted(tables, key=_order)}, faults


def names_in(folder: Path) -> set[str]:
    """Names in a folder; none where there is no such folder."""
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _order(name: str) -> tuple[int, str]:
    partition = name.split("_", 1)[0]
    return (_PARTITIONS.index(partition) if partition in _PARTITIONS else len(_PARTITIONS)), name


def shared_patients(
    splits: Mapping[str, Split],
) -> Iterator[tuple[tuple[Split, int], tuple[Split, int]]]:
    """Patients in two partitions: for each, the first row in either as (split, line)."""
    home: dict[str, tuple[Split, int]] = {}
    told: set[tuple[str, str]] = set()
    for split in splits.values():
        for line, patient in zip(split.lines, split.patients, strict=True):
            first = home.setdefault(patient, (split, line))
            if first[0].partition != split.partition and (patient, split.partition) not in told:
                told.add((patient, split.partition))
                yield first, (split, line)


def _refuse_shared_patients(splits: Mapping[str, Split]) -> None:
    for (other, _), (split, line) in shared_patients(splits):
        raise ConfigurationError(
            f"the patient of line {line} of split '{split.name}' is also in split "
            f"'{other.name}'; keep all pictures of a patient in one of them"
        )
