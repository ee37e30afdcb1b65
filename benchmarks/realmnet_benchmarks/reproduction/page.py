"""A report as one HTML page that opens without a network, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import msgspec
from jinja2 import Environment, StrictUndefined

import realmnet_benchmarks.reproduction
from realmnet_benchmarks.accuracy_tables import align
from realmnet_benchmarks.reproduction.document import Document, Section, Table, measured_line


def html_page(document: Document) -> str:
    """The page: styles and drawings inside it, nothing loaded, no script."""
    template = (resources.files(realmnet_benchmarks.reproduction) / "page.html.jinja").read_text(
        encoding="utf-8"
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(document=document, measured_line=measured_line)


def text_page(document: Document) -> str:
    """The same without figures; ends in a line feed."""
    lines = [document.title, "=" * len(document.title), *document.notices]
    for section in document.sections:
        lines += _section_lines(section)
    return "\n".join(lines) + "\n"


def json_page(document: Document) -> dict[str, object]:
    """Sections and tables as JSON-ready values; figures by key, title and caption."""
    content: dict[str, object] = msgspec.to_builtins(document)
    for section in content["sections"]:  # type: ignore[attr-defined]
        for figure in section["figures"]:
            del figure["svg"]
    return content


def _section_lines(section: Section) -> Iterator[str]:
    yield from ("", "", section.title, "-" * len(section.title), measured_line(section))
    yield from section.text
    for table in section.tables:
        yield from ("", table.title, f"  {measured_line(section)}", *_table_lines(table))


def _table_lines(table: Table) -> Iterator[str]:
    rows = [[*row.head, *(cell.text for cell in row.cells)] for row in table.rows]
    yield from (f"  {line}" for line in align([list(table.columns), *rows]))
    yield from (f"  {note}" for note in table.notes)
