"""Tables of images in the released form: reading, and writing what reads back the same.

S0,S1,A0,A1,A2,A3,A4,filename,ID        and where the names do not say it: eye, exam, source
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import numpy as np

from realmnet_benchmarks.file_names import Eye, exam_key, parse_file_name, source_of
from realmnet_benchmarks.sheets import (
    UNKNOWN_CELLS,
    NameCheck,
    Row,
    Sheet,
    TableReading,
    UnknownLabels,
    mask_fault,
    read_sheet,
    split_of,
)
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.files import write_atomically
from realmnet_runtime.labels import PSMM, LabelSet
from realmnet_runtime.suggestions import nearest

TRAINING_TABLE: Final = "MYOPIA"
FILE_COLUMN: Final = "filename"
PATIENT_COLUMN: Final = "ID"
FACT_COLUMNS: Final = ("eye", "exam", "source")
"""Columns beside the released ones, for data sets whose names do not follow the released scheme."""

_CELLS: Final = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}
_EYES: Final = ("OD", "OS", "")


def read_table(
    path: Path | str,
    label_set: LabelSet = PSMM,
    images: Path | None = None,
    unknown_labels: UnknownLabels = "refuse",
) -> Split:
    """Read one table; whether its images exist is not looked at.

    Args:
        path: CSV with the label columns, `filename` and `ID`, in any order; cells 0, 1, 0.0, 1.0.
            Columns `eye` (OD, OS or empty), `exam` and `source`, where they are there, replace
            what the file names say.
        label_set: meaning of the label columns.
        images: folder of the images; the table's own folder if None.
        unknown_labels: `mask` takes a cell that is empty, `?`, `unknown` or NaN as a label that is
            not known (`Split.known`), where the labels may co-occur; `refuse` takes none.

    Raises:
        MissingPath: no such file.
        ConfigurationError: a column that is missing, unknown or there twice, a row of another
            width, a label that is neither 0 nor 1 nor unknown as allowed, no patient, a file name
            that is no plain name or occurs twice, no row at all, or a mask for labels that exclude
            each other. Messages give the line, never a name.
    """
    return examine_table(path, label_set, images, unknown_labels).sound()


def examine_table(
    path: Path | str,
    label_set: LabelSet = PSMM,
    images: Path | None = None,
    unknown_labels: UnknownLabels = "refuse",
) -> TableReading:
    """Read one table as `read_table` does, but go on at faults and give all of them.

    Raises:
        MissingPath: no such file.
        ConfigurationError: no CSV text, no row at all, or a mask for labels that exclude each
            other.
    """
    meanings: dict[str, int | None] = dict(_CELLS)
    if unknown_labels == "mask":
        if refusal := mask_fault(label_set):
            raise ConfigurationError(refusal)
        meanings |= dict.fromkeys(UNKNOWN_CELLS)
    sheet = read_sheet(Path(path))
    faults = [
        *sheet.faults,
        *_column_faults(sheet, (*label_set.codes, FILE_COLUMN, PATIENT_COLUMN)),
    ]
    if len(faults) > len(sheet.faults):
        return TableReading(None, tuple(faults))
    name_fault = NameCheck(sheet.path, FILE_COLUMN, PATIENT_COLUMN)
    rows: list[Row] = []
    for line, cells in sheet.rows:
        row = {name: cell.strip() for name, cell in zip(sheet.header, cells, strict=True)}
        fault = name_fault(line, row[FILE_COLUMN], row[PATIENT_COLUMN])
        found = [fault] if fault else []
        found += _cell_faults(sheet.path, line, row, label_set, meanings)
        faults += found
        if not found:
            rows.append(_row(line, row, label_set, meanings))
    folder = sheet.path.parent if images is None else images
    return TableReading(split_of(rows, split_name(sheet.path), folder, label_set), tuple(faults))


def write_table(path: Path, split: Split) -> None:
    """Write a table, whole or not at all, that `read_table` reads back as the same split.

    The columns `eye`, `exam` and `source` are written only where they say something else than the
    file names do. An unknown label is an empty cell, which reads back by `unknown_labels = 'mask'`.

    Raises:
        OutputError: it could not be written; what was there before is untouched.
    """
    stated = [
        _facts_of_names(file, patient)
        for file, patient in zip(split.files, split.patients, strict=True)
    ]
    facts = [
        (eye or "", exam or "", source)
        for eye, exam, source in zip(split.eyes, split.exams, split.sources, strict=True)
    ]
    further = FACT_COLUMNS if facts != stated else ()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*split.label_set.codes, FILE_COLUMN, PATIENT_COLUMN, *further])
    cells = np.where(split.known, split.labels.astype(np.str_), "").tolist()
    for labels, file, patient, fact in zip(cells, split.files, split.patients, facts, strict=True):
        writer.writerow([*labels, file, patient, *(fact if further else ())])
    write_atomically(path, text.getvalue().encode())


def split_name(path: Path) -> str:
    """Name of a table's split: the stem in lower case, `train` for the released `MYOPIA`."""
    stem = path.stem
    if stem == TRAINING_TABLE or stem.startswith(f"{TRAINING_TABLE}_"):
        stem = "train" + stem.removeprefix(TRAINING_TABLE)
    return stem.lower()


def _column_faults(sheet: Sheet, wanted: tuple[str, ...]) -> list[str]:
    faults = []
    expected = ", ".join(wanted)
    if missing := [column for column in wanted if column not in sheet.header]:
        faults.append(f"{sheet.path}: column {', '.join(missing)} is missing; expected {expected}")
    allowed = (*wanted, *FACT_COLUMNS)
    faults += [
        f"{sheet.path}: unknown column '{column}'; expected {expected}{nearest(column, allowed)}"
        for column in dict.fromkeys(sheet.header)
        if column not in allowed
    ]
    if len(set(sheet.header)) != len(sheet.header):
        faults.append(f"{sheet.path}: a column occurs twice; keep one of each")
    return faults


def _cell_faults(
    path: Path,
    line: int,
    row: Mapping[str, str],
    label_set: LabelSet,
    meanings: Mapping[str, int | None],
) -> list[str]:
    faults = []
    for code in label_set.codes:
        cell = row[code].lower()
        if cell not in meanings:
            what, cure = "neither 0 nor 1", "every label needs 0 or 1"
            if cell in UNKNOWN_CELLS:
                what = "NaN"
                cure += "" if mask_fault(label_set) else ", or unknown_labels = 'mask'"
            faults.append(f"{path}, line {line}: label {code} is {what}; {cure}")
    if row.get("eye", "") not in _EYES:
        faults.append(f"{path}, line {line}: 'eye' is neither OD nor OS; leave it empty if unknown")
    return faults


def _row(
    line: int,
    row: Mapping[str, str],
    label_set: LabelSet,
    meanings: Mapping[str, int | None],
) -> Row:
    eye, exam, source = _facts_of_names(row[FILE_COLUMN], row[PATIENT_COLUMN])
    return Row(
        line=line,
        file=row[FILE_COLUMN],
        patient=row[PATIENT_COLUMN],
        labels=tuple(meanings[row[code].lower()] for code in label_set.codes),
        source=row.get("source", source) or source,
        eye=cast("Eye | None", row.get("eye", eye) or None),
        exam=row.get("exam", exam) or None,
    )


def _facts_of_names(file: str, patient: str) -> tuple[str, str, str]:
    """Eye, key of the examination and source as the names say them; empty where unknown."""
    name = parse_file_name(file)
    return name.eye or "", exam_key(patient, name.date) or "", source_of(patient)
