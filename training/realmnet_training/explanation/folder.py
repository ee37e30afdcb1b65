"""The folder of `realmnet explain`: a picture a finding, a sheet a label, and the figures.

Nothing in it bears the name of an image file, which may hold a record number: a picture is named
by its table and its line there, counted as a text editor counts.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from realmnet_benchmarks.progress import Report
from realmnet_benchmarks.splits import Split
from realmnet_runtime.drawing.lettering import Line
from realmnet_runtime.drawing.overlay import FOUND, QUIET, encode_png
from realmnet_runtime.errors import OutputError
from realmnet_runtime.files import cannot_write, sync_directory, temporary_beside, write_atomically
from realmnet_training.checkpoint import CheckpointFacts
from realmnet_training.explanation.contact_sheet import THUMBNAIL_PX, Tile, draw_sheet
from realmnet_training.explanation.explain import (
    Agreement,
    Maps,
    Method,
    Opened,
    agreement_of,
    explain_square,
    open_picture,
)
from realmnet_training.explanation.findings import OUTCOMES, Finding, Outcome
from realmnet_training.explanation.heatmap import draw_finding, draw_thumbnail
from realmnet_training.measuring.operating_points import Floats, arrays_of
from realmnet_training.model import RealMNet
from realmnet_training.pictures.prepared import PreparedSplit

_NOT_PORTABLE: Final = re.compile(r"[^A-Za-z0-9+-]+")
_TITLES: Final[dict[Method, str]] = {"csra": "CSRA score map", "gradcam++": "Grad-CAM++"}


class ExplainedFinding(msgspec.Struct, frozen=True):
    """One finding and its pictures.

    Attributes:
        table: name of the table.
        line: of the picture in it; the header is line 1.
        label: name.
        outcome: true positive, false positive or false negative.
        probability: after the temperature.
        threshold: of the label.
        box: (x0, y0, x1, y1) of the crop on the original, pixels, half-open.
        agreement: of the two maps; None where one method was asked for.
        files: by method, the picture in this folder.
    """

    table: str
    line: int
    label: str
    outcome: Outcome
    probability: float
    threshold: float
    box: tuple[int, int, int, int]
    agreement: Agreement | None
    files: dict[Method, str]


@dataclass(frozen=True, eq=False)
class Explainer:
    """What all pictures of one folder have in common.

    Attributes:
        model: in evaluation mode.
        facts: of its checkpoint.
        prepared: the table's pictures that could be read.
        lines: (N,) line of each of them in the table.
        probabilities: (N, L) of them.
        methods: which maps.
        notices: said on every picture and page.
    """

    model: RealMNet
    facts: CheckpointFacts
    prepared: PreparedSplit
    lines: Sequence[int]
    probabilities: Floats
    methods: tuple[Method, ...]
    notices: tuple[str, ...]

    @property
    def split(self) -> Split:
        """The rows that could be read."""
        return self.prepared.split

    @property
    def thresholds(self) -> Floats:
        """(L,) of the checkpoint; 0.5 where it has none."""
        return arrays_of(self.facts.operating_point, self.facts.label_set)[1]

    def draw(
        self, findings: Sequence[Finding], folder: Path, report: Report
    ) -> tuple[list[ExplainedFinding], dict[Finding, Tile]]:
        """Write one picture a finding and method.

        Args:
            findings: in the order in which they are to be answered.
            folder: where to; it exists.
            report: of progress, in findings.

        Returns:
            What was written, and a tile of each finding for the sheets.

        Raises:
            ImageRefused, MissingPath: a picture changed or went since the table was answered.
            OutputError: a picture cannot be written.
        """
        explained: dict[Finding, ExplainedFinding] = {}
        tiles: dict[Finding, Tile] = {}
        # a picture is decoded once for all its labels
        by_row = groupby(sorted(findings, key=lambda finding: finding.row), lambda f: f.row)
        for row, group in by_row:
            mine = list(group)
            opened = open_picture(self.split.paths[row], self.facts.spec)
            labels = [finding.label for finding in mine]
            maps = explain_square(self.model, opened.square, self.facts.spec, labels, self.methods)
            for index, finding in enumerate(mine):
                agreement = agreement_of(maps, index)
                cells: dict[Method, Maps] = {name: found[index] for name, found in maps.items()}
                explained[finding] = self._write(finding, opened, cells, agreement, folder)
                tiles[finding] = self._tile(finding, opened, cells, agreement)
                report(len(explained), len(findings))
        return [explained[finding] for finding in findings], tiles

    def sheet(
        self,
        label: int,
        tiles: Mapping[Finding, Tile],
        counts: Mapping[Outcome, int],
        fixed_share: float,
        folder: Path,
    ) -> str:
        """Write the contact sheet of a label.

        Args:
            label: number of the label.
            tiles: of all findings, in the order of the sheet.
            counts: how many of each outcome the table has.
            fixed_share: of the label's score maps, 0..1.
            folder: where to; it exists.

        Returns:
            Its name in the folder.

        Raises:
            OutputError: it cannot be written.
        """
        named = self.split.label_set.labels[label]
        mine: dict[Outcome, list[Tile]] = {outcome: [] for outcome in OUTCOMES}
        for finding, tile in tiles.items():
            if finding.label == label:
                mine[finding.outcome].append(tile)
        panels = ", ".join(["the picture", *(_TITLES[method] for method in self.methods)])
        page = draw_sheet(
            f"{named.name}: {named.meaning}",
            [
                *self.notices,
                f"CSRA score maps: {fixed_share:.0%} is the same in every picture of the table.",
                f"Table {self.split.name}. From left to right: {panels}.",
            ],
            mine,
            counts,
        )
        name = f"sheet-{_portable(named.name)}.png"
        write_atomically(folder / name, encode_png(page))
        return name

    def _write(
        self,
        finding: Finding,
        opened: Opened,
        cells: Mapping[Method, Maps],
        agreement: Agreement | None,
        folder: Path,
    ) -> ExplainedFinding:
        row, label, outcome = finding
        name = self.split.label_set.names[label]
        place = f"{_portable(self.split.name)}-line-{self.lines[row]:05d}"
        probability, threshold = (
            float(self.probabilities[row, label]),
            float(self.thresholds[label]),
        )
        files: dict[Method, str] = {}
        for method, found in cells.items():
            lines = [
                Line(f"{name} - {_TITLES[method]}", 1.4),
                Line(
                    f"Table {self.split.name}, line {self.lines[row]}: {outcome}, probability "
                    f"{probability:.3f}, threshold {threshold:.3f}"
                ),
                *(Line(text, 1.0, QUIET) for text in _said(found, agreement)),
                *(Line(text, 1.0, FOUND) for text in self.notices),
            ]
            files[method] = f"{place}-{_portable(name)}-{method}.png"
            write_atomically(folder / files[method], encode_png(draw_finding(opened, found, lines)))
        return ExplainedFinding(
            table=self.split.name,
            line=self.lines[row],
            label=name,
            outcome=outcome,
            probability=probability,
            threshold=threshold,
            box=opened.frame.box,
            agreement=agreement,
            files=files,
        )

    def _tile(
        self,
        finding: Finding,
        opened: Opened,
        cells: Mapping[Method, Maps],
        agreement: Agreement | None,
    ) -> Tile:
        row, label, _ = finding
        first = (
            f"{self.split.name} line {self.lines[row]}, probability "
            f"{self.probabilities[row, label]:.3f}"
        )
        return Tile(
            panels=[draw_thumbnail(opened, None, THUMBNAIL_PX)]
            + [draw_thumbnail(opened, found, THUMBNAIL_PX) for found in cells.values()],
            lines=[first, *(_said_of(agreement) if agreement else [])],
        )


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give a folder to write into that takes its place only when the block ends well.

    Raises:
        OutputError: something is there already, or the place cannot be written.
    """
    target = Path(os.path.realpath(path))
    temporary = temporary_beside(target)
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise OutputError(
                f"cannot write '{path}': something is there; name a new or an empty directory"
            )
        temporary.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield temporary
        try:
            if target.exists():
                target.rmdir()
            temporary.rename(target)
        except OSError as error:
            raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_directory(target.parent)


def _said(cells: Maps, agreement: Agreement | None) -> list[str]:
    if cells.min() == cells.max():
        return ["No position speaks for the label more than another: nothing to draw"]
    return _said_of(agreement) if agreement else []


def _said_of(agreement: Agreement) -> list[str]:
    if agreement.rank_correlation is None:
        return ["CSRA and Grad-CAM++ not compared: a map is the same everywhere"]
    apart = f"maxima {agreement.peak_distance:.2f} of a side apart"
    return [f"CSRA and Grad-CAM++: rank correlation {agreement.rank_correlation:.2f}, {apart}"]


def _portable(name: str) -> str:
    return _NOT_PORTABLE.sub("_", name)
