"""The report of `realmnet data check` as text for people."""

from __future__ import annotations

from collections.abc import Iterator

from realmnet_benchmarks.accuracy_tables import align, listed
from realmnet_benchmarks.intake.data_report import Counts, DataReport, Duplicates


def check_table(report: DataReport) -> str:
    """Counts by table and source, then each finding with the rows it is about."""
    return "\n".join([*_counts(report), "", *_findings(report), "", _verdict(report)])


def _counts(report: DataReport) -> list[str]:
    names = next((tuple(table.counts.positives) for table in report.tables.values()), ())
    header = ["table", "source", "images", "patients", "eyes", "exams", "undated", *names]
    rows = [header]
    for name, table in report.tables.items():
        rows.append([name, "all", *_cells(table.counts)])
        rows += [[name, source, *_cells(counts)] for source, counts in table.sources.items()]
    return list(align(rows))


def _cells(counts: Counts) -> list[str]:
    numbers = (counts.images, counts.patients, counts.eyes, counts.exams, counts.undated)
    return [f"{number:,}" for number in (*numbers, *counts.positives.values())]


def _findings(report: DataReport) -> Iterator[str]:
    findings: tuple[tuple[str, list[str]], ...] = (
        ("ERROR faults of tables", list(report.faults)),
        (
            "ERROR patients in two partitions",
            [f"{one} and {other}" for one, other in report.shared_patients],
        ),
        ("ERROR images that are not in the folder", list(map(str, report.missing))),
        (
            "images that cannot be read",
            [f"{refusal.place}: {refusal.reason}" for refusal in report.unreadable],
        ),
        ("equal files across patients or partitions", list(map(_together, report.equal))),
        (
            "pictures that look alike across patients or partitions",
            [f"{_together(pair)}, {pair.bits} of 256 bits apart" for pair in report.alike],
        ),
        (
            "rows with none or several labels of an exclusive group",
            list(map(str, report.contradictions)),
        ),
        (
            "file names that begin with another patient than the table gives",
            list(map(str, report.other_names)),
        ),
        (
            "labels that never occur in a table",
            [
                f"{name}: {', '.join(table.absent_labels)}"
                for name, table in report.tables.items()
                if table.absent_labels
            ],
        ),
        (
            "label sets that never occur",
            [" with ".join(labels) for labels in report.absent_label_sets],
        ),
        (
            "labels that are unknown in some images of a table",
            [
                f"{name}: {', '.join(f'{label} {n:,}' for label, n in unknown.items())}"
                for name, unknown in ((n, t.counts.unknown) for n, t in report.tables.items())
                if unknown
            ],
        ),
        (
            "rows left out because a label is unknown",
            [
                f"{name}: {table.left_out:,}"
                for name, table in report.tables.items()
                if table.left_out
            ],
        ),
    )
    for what, lines in findings:
        yield f"{what}: {len(lines):,}"
        yield from listed(lines)
    yield f"further copies of a file within one patient and partition: {report.repeats:,}"
    yield f"files in the folder that no table names: {report.unnamed:,}"
    if report.shorter_side_px is not None:
        least, median, greatest = report.shorter_side_px
        yield f"shorter side of the images: {least:,} to {greatest:,} px, median {median:,}"


def _together(duplicates: Duplicates) -> str:
    places = " = ".join(map(str, duplicates.places))
    return f"{places}; patients {duplicates.patients}, partitions {duplicates.partitions}"


def _verdict(report: DataReport) -> str:
    if report.errors:
        return f"{report.errors:,} errors: repair them, then check again"
    if report.unreadable:
        return f"usable without the {len(report.unreadable):,} images that cannot be read"
    return "usable"
