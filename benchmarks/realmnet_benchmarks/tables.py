"""Reading one CSV table of images; messages give the line, never a file name or a patient."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np

from realmnet_benchmarks.splits import Split, eye_of, source_of
from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.labels import PSMM, LabelSet
from realmnet_runtime.suggestions import nearest

TRAINING_TABLE: Final = "MYOPIA"
FILE_COLUMN: Final = "filename"
PATIENT_COLUMN: Final = "ID"

_CELLS: Final = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}


def read_table(path: Path | str, label_set: LabelSet = PSMM, images: Path | None = None) -> Split:
    """Read one table; whether its images exist is not looked at.

    Args:
        path: CSV with the label columns, `filename` and `ID`, in any order; cells 0, 1, 0.0, 1.0.
        label_set: meaning of the label columns.
        images: folder of the images; the table's own folder if None.

    Raises:
        MissingPath: no such file.
        ConfigurationError: a column that is missing, unknown or there twice, a row of another
            width, a label that is empty, NaN or neither 0 nor 1, no patient, a file name that is
            no plain name or occurs twice, or no row at all. Messages give the line, never a name.
    """
    source = Path(path)
    header, rows = _rows(source)
    _refuse_columns(source, header, (*label_set.codes, FILE_COLUMN, PATIENT_COLUMN))
    at = {column: index for index, column in enumerate(header)}
    files = tuple(row[at[FILE_COLUMN]].strip() for row in rows)
    patients = tuple(row[at[PATIENT_COLUMN]].strip() for row in rows)
    _refuse_names(source, files, patients)
    labels = np.zeros((len(rows), len(label_set)), dtype=np.uint8)
    for number, row in enumerate(rows):
        for label, code in enumerate(label_set.codes):
            labels[number, label] = _cell(row[at[code]], source, number + 2, code)
    return Split(
        name=split_name(source),
        images=source.parent if images is None else images,
        label_set=label_set,
        files=files,
        labels=labels,
        patients=patients,
        sources=tuple(source_of(patient) for patient in patients),
        eyes=tuple(eye_of(file) for file in files),
    )


def split_name(path: Path) -> str:
    """Name of a table's split: the stem in lower case, `train` for the released `MYOPIA`."""
    stem = path.stem
    if stem == TRAINING_TABLE or stem.startswith(f"{TRAINING_TABLE}_"):
        stem = "train" + stem.removeprefix(TRAINING_TABLE)
    return stem.lower()


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except (FileNotFoundError, IsADirectoryError):
        raise MissingPath(f"{path} is not a file; give the path of a CSV table") from None
    except (UnicodeDecodeError, csv.Error):
        raise ConfigurationError(f"{path} is not a CSV table in UTF-8; export it again") from None
    while rows and not rows[-1]:
        rows.pop()
    if not rows:
        raise ConfigurationError(f"{path} has no row; a table needs at least one image")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ConfigurationError(
                f"{path}, line {line}: {len(row)} cells under {len(header)} columns; repair it"
            )
    return [column.strip() for column in header], rows


def _refuse_columns(path: Path, header: list[str], wanted: tuple[str, ...]) -> None:
    missing = [column for column in wanted if column not in header]
    if missing:
        raise ConfigurationError(
            f"{path}: column {', '.join(missing)} is missing; expected {', '.join(wanted)}"
        )
    for column in header:
        if column not in wanted:
            raise ConfigurationError(
                f"{path}: unknown column '{column}'; expected {', '.join(wanted)}"
                f"{nearest(column, wanted)}"
            )
    if len(set(header)) != len(header):
        raise ConfigurationError(f"{path}: a column occurs twice; keep one of each")


def _refuse_names(path: Path, files: tuple[str, ...], patients: tuple[str, ...]) -> None:
    first: dict[str, int] = {}
    for line, (file, patient) in enumerate(zip(files, patients, strict=True), start=2):
        if not file or file in {".", ".."} or "/" in file or "\\" in file or "\0" in file:
            raise ConfigurationError(
                f"{path}, line {line}: '{FILE_COLUMN}' is no plain file name; remove its folder"
            )
        if not patient:
            raise ConfigurationError(
                f"{path}, line {line}: '{PATIENT_COLUMN}' is empty; every image needs its patient"
            )
        if file in first:
            raise ConfigurationError(
                f"{path}, line {line}: repeats the file name of line {first[file]}; keep one"
            )
        first[file] = line


def _cell(text: str, path: Path, line: int, column: str) -> int:
    try:
        return _CELLS[text.strip()]
    except KeyError:
        what = "NaN" if text.strip().lower() in {"", "nan", "na", "null"} else "neither 0 nor 1"
        raise ConfigurationError(
            f"{path}, line {line}: label {column} is {what}; every label needs 0 or 1"
        ) from None
