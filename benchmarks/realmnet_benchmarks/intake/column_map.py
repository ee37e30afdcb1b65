"""The column map: what the columns of a hospital's own table mean, in TOML.

    file = "Image"                   # plain file name of each picture
    patient = "PID"
    eye = "Laterality"               # optional, as date and source are
    date = "Taken"
    date_format = "%d.%m.%Y"         # of strptime; ISO dates by default
    source = "CityHospital"          # name of the hospital, not a column
    unknown_labels = "leave out"     # or "mask", or "refuse", the default

    [eyes]
    right = ["OD", "R"]
    left = ["OS", "L"]

    [labels.PS]                      # one column, one label
    column = "Staphyloma"
    present = ["yes"]
    absent = ["no"]
    unknown = ["", "ungradable"]

    [labels.NoPS]                    # the same column, the other way round
    column = "Staphyloma"
    present = ["no"]
    absent = ["yes"]
    unknown = ["", "ungradable"]

    [[choices]]                      # one column, one of several labels
    column = "Grade"
    values = { 0 = "NoMRL", 1 = "TFO", 2 = "DCA", 3 = "PCA", 4 = "MA" }
    unknown = [""]

Labels are known by name or code, and every label of the set is mapped once. Values are compared
without regard to case or surrounding space. A value the map does not list is a fault of its line:
nothing is guessed. A row with an unknown label is refused, left out and counted (`Split.left_out`),
or kept with that label masked (`Split.known`), as the map says; labels that exclude each other are
never masked. Columns that the map does not speak of are not read; eye, date and source are never
guessed from a hospital's own file names.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec
import tomllib

from realmnet_benchmarks.file_names import Eye
from realmnet_benchmarks.sheets import UNKNOWN_CELLS
from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.structs import convert_mapping


class EyeValues(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the column of eyes is written; any other value is an unknown eye."""

    right: tuple[str, ...] = ("OD", "R", "right")
    left: tuple[str, ...] = ("OS", "L", "left")

    def __post_init__(self) -> None:
        _refuse_repeats("eyes", (*self.right, *self.left))

    def eye(self, text: str) -> Eye | None:
        """The eye a cell states."""
        value = plain(text)
        if value in map(plain, self.right):
            return "OD"
        return "OS" if value in map(plain, self.left) else None


class LabelColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column that says of one label whether it is present."""

    column: str
    present: tuple[str, ...] = ("1", "1.0")
    absent: tuple[str, ...] = ("0", "0.0")
    unknown: tuple[str, ...] = UNKNOWN_CELLS

    def __post_init__(self) -> None:
        _refuse_repeats(self.column, (*self.present, *self.absent, *self.unknown))
        if not self.present or not self.absent:
            raise ConfigurationError(
                f"column '{self.column}' has no value for {'absent' if self.present else 'present'}"
                "; a label needs both"
            )


class ChoiceColumn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column that names one of several labels, which exclude each other.

    Attributes:
        column: name of the column.
        values: value of a cell to name or code of the label it means.
        unknown: values that leave all of these labels unknown.
    """

    column: str
    values: dict[str, str]
    unknown: tuple[str, ...] = UNKNOWN_CELLS

    def __post_init__(self) -> None:
        _refuse_repeats(self.column, (*self.values, *self.unknown))
        if not self.values:
            raise ConfigurationError(f"choice '{self.column}' has no values; list what they mean")


class ColumnMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which columns of a hospital's table hold what; the module shows one in TOML.

    Attributes:
        file: column of plain file names.
        patient: column of patient identifiers.
        labels: name or code of a label to its column.
        choices: columns that name one of several labels.
        eye: column of eyes.
        eyes: how they are written.
        date: column of the dates of examination, which become opaque keys.
        date_format: how they are written, for `strptime`.
        source: of all images, `unknown` if None.
        unknown_labels: what to do with a row that has an unknown label; `mask` keeps it and leaves
            that label unknown.
        delimiter: between cells.
        encoding: of the text, for example `gb18030`.
    """

    file: str
    patient: str
    labels: dict[str, LabelColumn] = {}
    choices: tuple[ChoiceColumn, ...] = ()
    eye: str | None = None
    eyes: EyeValues = msgspec.field(default_factory=EyeValues)
    date: str | None = None
    date_format: str = "%Y-%m-%d"
    source: str | None = None
    unknown_labels: Literal["refuse", "leave out", "mask"] = "refuse"
    delimiter: Literal[",", ";", "\t", "|"] = ","
    encoding: str = "utf-8-sig"

    def __post_init__(self) -> None:
        try:
            "a".encode(self.encoding)
        except LookupError:
            raise ConfigurationError(
                f"encoding '{self.encoding}' is not known; try utf-8-sig, cp1252 or gb18030"
            ) from None
        try:
            dt.datetime.strptime(dt.date(2019, 1, 2).strftime(self.date_format), self.date_format)  # noqa: DTZ007
        except (ValueError, re.error):
            raise ConfigurationError(
                f"date_format '{self.date_format}' cannot be read back; write it as '%d.%m.%Y'"
            ) from None
        if self.source is not None and not self.source.strip():
            raise ConfigurationError("source is empty; name the hospital or leave the key out")


def read_column_map(path: Path | str) -> ColumnMap:
    """Read a column map.

    Raises:
        MissingPath: no such file.
        ConfigurationError: no TOML, an unknown key (with the nearest), a value with two meanings.
    """
    source = Path(path)
    try:
        content = tomllib.loads(source.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise MissingPath(f"{path} is not a file; give the path of a column map in TOML") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML in UTF-8: {error}") from error
    return convert_mapping(content, ColumnMap, str(path))


def plain(text: str) -> str:
    """A value as it is compared: without surrounding space and case."""
    return text.strip().casefold()


def _refuse_repeats(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in map(plain, values):
        if value in seen:
            raise ConfigurationError(
                f"column map: '{what}' gives the value '{value}' two meanings; give it one"
            )
        seen.add(value)
