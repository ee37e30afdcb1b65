"""What `realmnet data prepare` did, as data and as text for people."""

from __future__ import annotations

import msgspec

from realmnet_benchmarks.accuracy_tables import listed
from realmnet_benchmarks.intake.reading import Place


class Failure(msgspec.Struct, frozen=True):
    """A row whose image could not be prepared, and why."""

    place: Place
    reason: str


class PreparationReport(msgspec.Struct, frozen=True):
    """What a preparation did.

    Attributes:
        size: side of the prepared pictures, pixels.
        images: image files the tables name.
        made: prepared by this run.
        kept: prepared by an earlier run, found whole, and left alone.
        failed: image files that could not be prepared.
        upsampled: of those made and kept, how many have a side that was shorter before.
        rows: rows of each table that was written.
        empty_tables: tables not written, because none of their images could be prepared.
        failures: every row that was left out because its image failed.
        unknown_labels: rows of a hospital's table left out because a label is unknown.
    """

    size: int
    images: int
    made: int
    kept: int
    failed: int
    upsampled: int
    rows: dict[str, int]
    empty_tables: tuple[str, ...]
    failures: tuple[Failure, ...]
    unknown_labels: int


def preparation_table(report: PreparationReport) -> str:
    """Counts for people, then the rows that were left out."""
    failures = listed(f"{failure.place}: {failure.reason}" for failure in report.failures)
    lines = [
        f"{report.images:,} images at {report.size} x {report.size} px",
        f"{report.made:,} made, {report.kept:,} kept from before, {report.failed:,} failed",
        f"{report.upsampled:,} of {report.made + report.kept:,} were smaller and are upsampled",
        *(f"{name}: {rows:,} rows" for name, rows in report.rows.items()),
        *(f"{name}: not written, none of its images is left" for name in report.empty_tables),
    ]
    if report.unknown_labels:
        lines.append(f"{report.unknown_labels:,} rows left out because a label is unknown")
    return "\n".join(
        [
            *lines,
            *(["rows left out because their image failed:", *failures] if report.failures else []),
        ]
    )
