"""A report as one HTML page that opens without a network, as Markdown, and as text."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

import msgspec
from jinja2 import Environment, StrictUndefined

import realmnet_benchmarks.pages
from realmnet_benchmarks.accuracy_tables import align
from realmnet_benchmarks.pages.document import Document, Section, Table, measured_line


def html_page(document: Document) -> str:
    """The page: styles and drawings inside it, nothing loaded, no script."""
    template = (resources.files(realmnet_benchmarks.pages) / "page.html.jinja").read_text(
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


def markdown_page(document: Document, page: str) -> str:
    """The same as Markdown; ends in a line feed.

    Args:
        document: to write.
        page: name of the HTML page beside it, which has the figures.
    """
    lines = [f"# {document.title}", ""]
    lines += [line for notice in document.notices for line in (notice, "")]
    for section in document.sections:
        lines += [f"## {section.title}", "", f"*{measured_line(section)}*", ""]
        lines += [line for paragraph in section.text for line in (paragraph, "")]
        for table in section.tables:
            lines += [f"**{table.title}**", "", *_markdown_rows(table), ""]
            lines += [line for note in table.notes for line in (note, "")]
        lines += [f"* Figure: {figure.title} (`{page}`)" for figure in section.figures]
        lines += [""] if section.figures else []
    return "\n".join(lines)


def json_page(document: Document) -> dict[str, object]:
    """Sections and tables as JSON-ready values; figures by key, title and caption."""
    content: dict[str, object] = msgspec.to_builtins(document)
    for section in content["sections"]:  # type: ignore[attr-defined]
        for figure in section["figures"]:
            del figure["svg"]
    return content


def _markdown_rows(table: Table) -> Iterator[str]:
    rows = [[*row.head, *(cell.text for cell in row.cells)] for row in table.rows]
    for row in (list(table.columns), ["---"] * len(table.columns), *rows):
        yield f"| {' | '.join(word.replace('|', chr(92) + '|') for word in row)} |"


def _section_lines(section: Section) -> Iterator[str]:
    yield from ("", "", section.title, "-" * len(section.title), measured_line(section))
    yield from section.text
    for table in section.tables:
        yield from ("", table.title, f"  {measured_line(section)}", *_table_lines(table))


def _table_lines(table: Table) -> Iterator[str]:
    rows = [[*row.head, *(cell.text for cell in row.cells)] for row in table.rows]
    yield from (f"  {line}" for line in align([list(table.columns), *rows]))
    yield from (f"  {note}" for note in table.notes)
