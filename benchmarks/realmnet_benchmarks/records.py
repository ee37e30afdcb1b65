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

from realmnet_benchmarks.splits import Eye, Split
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


def read_psmm(root: Path | str, label_set: LabelSet = PSMM) -> Records:
    """Read a data set in the released layout.

    Args:
        root: the folder above `datasets`, `datasets`, or `PSMM` itself.
        label_set: meaning of the label columns.

    Raises:
        MissingPath: no such folder, no table in it, no image, or a table's image is not there.
        ConfigurationError: a table that `read_table` refuses, two tables of one name, or a patient
            in two partitions.
    """
    home = _home(Path(root))
    images, main = home / IMAGE_FOLDER, home / TABLE_FOLDER
    present = {path.name for path in images.iterdir()} if images.is_dir() else set()
    if not present:
        raise MissingPath(f"{images} holds no image; put the pictures of the data set there")
    tables: dict[str, Path] = {}
    for path in sorted([*main.glob("*.csv"), *main.glob("*/*.csv")]):
        name = split_name(path)
        if name in tables:
            raise ConfigurationError(
                f"{path} and {tables[name]} are both the split '{name}'; keep one of them"
            )
        tables[name] = path
    if not tables:
        raise MissingPath(f"{main} holds no table; expected {TRAINING_TABLE}, val.csv, test.csv")
    splits = {
        name: read_table(tables[name], label_set, images) for name in sorted(tables, key=_order)
    }
    for name, split in splits.items():
        absent = [line for line, file in enumerate(split.files, start=2) if file not in present]
        if absent:
            raise MissingPath(
                f"{tables[name]}: {len(absent)} of {len(split)} images are not in {images}, the "
                f"first in line {absent[0]}; complete the folder or remove the lines"
            )
    return Records(home, splits)


def _order(name: str) -> tuple[int, str]:
    partition = name.split("_", 1)[0]
    return (_PARTITIONS.index(partition) if partition in _PARTITIONS else len(_PARTITIONS)), name


def _home(root: Path) -> Path:
    for home in (root, root / "PSMM", root / "datasets" / "PSMM"):
        if (home / TABLE_FOLDER).is_dir():
            return home
    raise MissingPath(
        f"{root} holds no PSMM data set; give the folder above 'datasets/PSMM/{TABLE_FOLDER}', "
        "'datasets', or 'PSMM' itself"
    )


def _refuse_shared_patients(splits: Mapping[str, Split]) -> None:
    home: dict[str, Split] = {}
    for split in splits.values():
        for line, patient in enumerate(split.patients, start=2):
            other = home.setdefault(patient, split)
            if other.partition != split.partition:
                raise ConfigurationError(
                    f"the patient of line {line} of split '{split.name}' is also in split "
                    f"'{other.name}'; keep all pictures of a patient in one of them"
                )
