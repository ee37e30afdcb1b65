"""What a report says, before it is text, JSON or a page: sections of tables and figures.

A cell always has words. Where there is no number the words say why, never a blank that could be
read as zero.
"""

from __future__ import annotations

from typing import Final

import msgspec

NOT_RUN: Final = "not run"
NO_FIGURE: Final = "no figure"
UNDEFINED: Final = "undefined"

LEGEND: Final = (
    f'"{NOT_RUN}": the folder holds no result. "{NO_FIGURE}": no published figure is on record '
    f'here, or none exists. "{UNDEFINED}": the measure has no value, as AP of a label without a '
    "positive."
)


class Cell(msgspec.Struct, frozen=True, omit_defaults=True):
    """Words for people and, where there is one, the number behind them.

    Attributes:
        text: as printed.
        value: not rounded; metrics are fractions, whatever the text prints.
        low, high: of an interval.
    """

    text: str
    value: float | None = None
    low: float | None = None
    high: float | None = None


class Row(msgspec.Struct, frozen=True):
    """Words at the left, then cells."""

    head: tuple[str, ...]
    cells: tuple[Cell, ...]


class Table(msgspec.Struct, frozen=True):
    """A table of a section.

    Attributes:
        key: unique in the report.
        title: what it shows, with its unit.
        columns: of the heads and of the cells.
        rows: all of the same heads and cells.
        notes: what must be said beside the figures.
    """

    key: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


class Figure(msgspec.Struct, frozen=True):
    """A drawing; `svg` is an element for a page and is not part of the JSON."""

    key: str
    title: str
    caption: str
    svg: str


class Section(msgspec.Struct, frozen=True):
    """Tables and figures about one question.

    Attributes:
        key: unique in the report.
        title: the question in few words.
        measured_on: what the pictures were.
        text: paragraphs above the tables.
        tables: in order.
        figures: in order.
    """

    key: str
    title: str
    measured_on: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


class Document(msgspec.Struct, frozen=True):
    """A whole report."""

    title: str
    notices: tuple[str, ...]
    sections: tuple[Section, ...]


def measured_line(section: Section) -> str:
    """The line that stands in every section and beside every figure."""
    return f"Our figures: measured on {section.measured_on}. Research use only."
