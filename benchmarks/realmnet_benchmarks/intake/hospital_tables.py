"""A hospital's own CSV, read by a column map into the same `Split` as a released table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

from realmnet_benchmarks.file_names import UNKNOWN_SOURCE, exam_key
from realmnet_benchmarks.intake.column_map import ChoiceColumn, ColumnMap, LabelColumn, plain
from realmnet_benchmarks.sheets import (
    NameCheck,
    Row,
    Sheet,
    TableReading,
    mask_fault,
    read_sheet,
    split_of,
)
from realmnet_benchmarks.splits import Split
from realmnet_benchmarks.tables import split_name
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import PSMM, LabelSet
from realmnet_runtime.suggestions import nearest

Meanings = Mapping[str, Mapping[int, int | None]]
"""For each value of a column, what it says of which labels; None where it leaves them unknown."""


def read_hospital_table(
    path: Path | str, columns: ColumnMap, label_set: LabelSet = PSMM, images: Path | None = None
) -> Split:
    """Read a hospital's table; whether its images exist is not looked at.

    Args:
        path: CSV with a header.
        columns: which column holds what.
        label_set: the labels to read; the map covers each of them once.
        images: folder of the images; the table's own folder if None.

    Raises:
        MissingPath: no such file.
        ConfigurationError: a label that the map lacks, has twice or does not know; a column that
            the table lacks; the faults of `read_table`; a value that the map does not list; an
            unknown label, where the map refuses them; a date of another form; or no row that is
            left. Messages give the line, never a cell.
    """
    return examine_hospital_table(path, columns, label_set, images).sound()


def examine_hospital_table(
    path: Path | str, columns: ColumnMap, label_set: LabelSet = PSMM, images: Path | None = None
) -> TableReading:
    """Read a hospital's table as `read_hospital_table`, but give all faults of its rows.

    Raises:
        MissingPath: no such file.
        ConfigurationError: no CSV text, no row, or a map that does not fit the labels.
    """
    plan = _Plan(columns, label_set)
    sheet = read_sheet(Path(path), columns.delimiter, columns.encoding)
    faults = [*sheet.faults, *_column_faults(sheet, columns)]
    if len(faults) > len(sheet.faults):
        return TableReading(None, tuple(faults))
    name_fault = NameCheck(sheet.path, columns.file, columns.patient)
    rows: list[Row] = []
    left_out: list[int] = []
    for line, cells in sheet.rows:
        row = dict(zip(sheet.header, cells, strict=True))
        fault = name_fault(line, row[columns.file].strip(), row[columns.patient].strip())
        labels, found = plan.labels(sheet.path, line, row)
        date, date_fault = _date(sheet.path, line, row, columns)
        found = [*([fault] if fault else []), *found, *([date_fault] if date_fault else [])]
        faults += found
        if found:
            continue
        if None in labels and columns.unknown_labels != "mask":
            left_out.append(line)
            continue
        rows.append(_row(line, row, columns, labels, date))
    if not rows and not faults:
        faults.append(
            f"{sheet.path}: all {len(left_out)} rows have an unknown label; grade some of them"
        )
    folder = sheet.path.parent if images is None else images
    split = split_of(rows, split_name(sheet.path), folder, label_set, left_out)
    return TableReading(split, tuple(faults))


class _Plan:
    """For each column that is read: what its values say of which labels."""

    def __init__(self, columns: ColumnMap, label_set: LabelSet) -> None:
        self._size = len(label_set)
        self._refuses = columns.unknown_labels == "refuse"
        if columns.unknown_labels == "mask" and (refusal := mask_fault(label_set)):
            raise ConfigurationError(f"column map: {refusal}")
        self._columns: list[tuple[str, Meanings]] = []
        for key, label in columns.labels.items():
            self._columns.append((label.column, _of_label(label, _label(key, label_set))))
        for choice in columns.choices:
            self._columns.append((choice.column, _of_choice(choice, label_set)))
        covered = [
            index for _, meanings in self._columns for index in next(iter(meanings.values()))
        ]
        for index, name in enumerate(label_set.names):
            if covered.count(index) != 1:
                times = "not at all" if index not in covered else "twice"
                raise ConfigurationError(
                    f"the column map has label {name} {times}; map each of "
                    f"{', '.join(label_set.names)} once"
                )

    def labels(
        self, path: Path, line: int, row: Mapping[str, str]
    ) -> tuple[tuple[int | None, ...], list[str]]:
        """The labels of a row, None where unknown, and what is wrong with its cells."""
        labels: list[int | None] = [None] * self._size
        faults = []
        for column, meanings in self._columns:
            said = meanings.get(plain(row[column]))
            if said is None:
                allowed = ", ".join(f"'{value}'" for value in meanings)
                faults.append(
                    f"{path}, line {line}: '{column}' holds a value the column map does not list; "
                    f"it lists {allowed}"
                )
                continue
            if self._refuses and None in said.values():
                faults.append(
                    f"{path}, line {line}: '{column}' is unknown; grade it, remove the line, or "
                    "set unknown_labels = 'leave out'"
                )
            for index, value in said.items():
                labels[index] = value
        return tuple(labels), faults


def _of_label(label: LabelColumn, index: int) -> Meanings:
    return {
        **{plain(value): {index: 1} for value in label.present},
        **{plain(value): {index: 0} for value in label.absent},
        **{plain(value): {index: None} for value in label.unknown},
    }


def _of_choice(choice: ChoiceColumn, label_set: LabelSet) -> Meanings:
    meant = {value: _label(key, label_set) for value, key in choice.values.items()}
    among = sorted(set(meant.values()))
    return {
        **{
            plain(value): {label: int(label == one) for label in among}
            for value, one in meant.items()
        },
        **{plain(value): dict.fromkeys(among) for value in choice.unknown},
    }


def _label(key: str, label_set: LabelSet) -> int:
    if key in label_set.codes:
        return label_set.codes.index(key)
    try:
        return label_set.index(key)
    except ConfigurationError as error:
        raise ConfigurationError(f"column map: {error}") from None


def _column_faults(sheet: Sheet, columns: ColumnMap) -> list[str]:
    named = [columns.file, columns.patient, columns.eye, columns.date]
    named += [label.column for label in columns.labels.values()]
    named += [choice.column for choice in columns.choices]
    faults = []
    for column in dict.fromkeys(named):
        if column is None:
            continue
        if column not in sheet.header:
            faults.append(
                f"{sheet.path}: the column map names '{column}', which is not in the header"
                f"{nearest(column, sheet.header)}"
            )
        elif sheet.header.count(column) > 1:
            faults.append(f"{sheet.path}: column '{column}' occurs twice; keep one of each")
    return faults


def _date(
    path: Path, line: int, row: Mapping[str, str], columns: ColumnMap
) -> tuple[dt.date | None, str | None]:
    """The date of a row, None where it is empty, and what is wrong with it."""
    text = row[columns.date].strip() if columns.date else ""
    if not text:
        return None, None
    try:
        # A day of a table has no time zone.
        return dt.datetime.strptime(text, columns.date_format).date(), None  # noqa: DTZ007
    except ValueError:
        return None, (
            f"{path}, line {line}: '{columns.date}' does not follow date_format "
            f"'{columns.date_format}'; correct the map or the cell"
        )


def _row(
    line: int,
    row: Mapping[str, str],
    columns: ColumnMap,
    labels: tuple[int | None, ...],
    date: dt.date | None,
) -> Row:
    patient = row[columns.patient].strip()
    return Row(
        line=line,
        file=row[columns.file].strip(),
        patient=patient,
        labels=labels,
        source=columns.source or UNKNOWN_SOURCE,
        eye=columns.eyes.eye(row[columns.eye]) if columns.eye else None,
        exam=exam_key(patient, date),
    )
