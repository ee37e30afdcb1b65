"""Tables of images in the released form: reading, and writing what reads back the same.

S0,S1,A0,A1,A2,A3,A4,filename,ID        and where the names do not say it: eye, exam, source
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

from realmnet_benchmarks.file_names import Eye, exam_key, parse_file_name, source_of
from realmnet_benchmarks.sheets import NameCheck, Row, Sheet, TableReading, read_sheet, split_of
from realmnet_benchmarks.splits import Split
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


def read_table(path: Path | str, label_set: LabelSet = PSMM, images: Path | None = None) -> Split:
    """Read one table; whether its images exist is not looked at.

    Args:
        path: CSV with the label columns, `filename` and `ID`, in any order; cells 0, 1, 0.0, 1.0.
            Columns `eye` (OD, OS or empty), `exam` and `source`, where they are there, replace
            what the file names say.
        label_set: meaning of the label columns.
        images: folder of the images; the table's own folder if None.

    Raises:
        MissingPath: no such file.
        ConfigurationError: a column that is missing, unknown or there twice, a row of another
            width, a label that is empty, NaN or neither 0 nor 1, no patient, a file name that is
            no plain name or occurs twice, or no row at all. Messages give the line, never a name.
    """
    return examine_table(path, label_set, images).sound()


def examine_table(
    path: Path | str, label_set: LabelSet = PSMM, images: Path | None = None
) -> TableReading:
    """Read one table as `read_table` does, but go on at faults and give all of them.

    Raises:
        MissingPath: no such file.
        ConfigurationError: no CSV text, or no row at all.
    """
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
        found += _cell_faults(sheet.path, line, row, label_set)
        faults += found
        if not found:
            rows.append(_row(line, row, label_set))
    folder = sheet.path.parent if images is None else images
    return TableReading(split_of(rows, split_name(sheet.path), folder, label_set), tuple(faults))


def write_table(path: Path, split: Split) -> None:
    """Write a table, whole or not at all, that `read_table` reads back as the same split.

    The columns `eye`, `exam` and `source` are written only where they say something else than the
    file names do.

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
    for labels, file, patient, fact in zip(
        split.labels.tolist(), split.files, split.patients, facts, strict=True
    ):
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


def _cell_faults(path: Path, line: int, row: Mapping[str, str], label_set: LabelSet) -> list[str]:
    faults = []
    for code in label_set.codes:
        if row[code] not in _CELLS:
            empty = row[code].lower() in {"", "nan", "na", "null"}
            what = "NaN" if empty else "neither 0 nor 1"
            faults.append(f"{path}, line {line}: label {code} is {what}; every label needs 0 or 1")
    if row.get("eye", "") not in _EYES:
        faults.append(f"{path}, line {line}: 'eye' is neither OD nor OS; leave it empty if unknown")
    return faults


def _row(line: int, row: Mapping[str, str], label_set: LabelSet) -> Row:
    eye, exam, source = _facts_of_names(row[FILE_COLUMN], row[PATIENT_COLUMN])
    return Row(
        line=line,
        file=row[FILE_COLUMN],
        patient=row[PATIENT_COLUMN],
        labels=tuple(_CELLS[row[code]] for code in label_set.codes),
        source=row.get("source", source) or source,
        eye=cast("Eye | None", row.get("eye", eye) or None),
        exam=row.get("exam", exam) or None,
    )


def _facts_of_names(file: str, patient: str) -> tuple[str, str, str]:
    """Eye, key of the examination and source as the names say them; empty where unknown."""
    name = parse_file_name(file)
    return name.eye or "", exam_key(patient, name.date) or "", source_of(patient)
