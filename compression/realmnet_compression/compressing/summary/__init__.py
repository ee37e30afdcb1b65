"""What a compression's folder says of itself: README, a page with plots, all figures."""

from __future__ import annotations

from collections.abc import Mapping

from realmnet_benchmarks.pages.page import html_page, markdown_page
from realmnet_compression.compressing.folder import (
    METRICS_FILE,
    CompressionFolder,
    StepRecord,
    write_json,
)
from realmnet_compression.compressing.job import Job
from realmnet_compression.compressing.metrics import read_figures
from realmnet_compression.compressing.summary.document import Done, compression_report
from realmnet_runtime.files import write_atomically


def write_summary(folder: CompressionFolder, job: Job, records: Mapping[str, StepRecord]) -> None:
    """Write the summary of what is done so far.

    Args:
        folder: of the compression.
        job: what is being made.
        records: of the finished steps, by name.

    Raises:
        OutputError: a file cannot be written.
    """
    paths = {name: folder.root / job.recipe.folders[name] for name in records}
    figures = tuple(f for path in paths.values() for f in read_figures(path / METRICS_FILE))
    write_json(folder.metrics, figures)
    document = compression_report(Done(job, records, paths, figures))
    write_atomically(folder.page, html_page(document).encode())
    write_atomically(folder.readme, markdown_page(document, folder.page.name).encode())
