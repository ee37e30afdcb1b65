"""`realmnet data check` and `realmnet data prepare`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from realmnet_benchmarks.intake.column_map import read_column_map
from realmnet_benchmarks.intake.data_check import check_data
from realmnet_benchmarks.intake.data_check_tables import check_table
from realmnet_benchmarks.intake.preparation_report import preparation_table
from realmnet_benchmarks.intake.prepared_set import prepare_data
from realmnet_benchmarks.intake.reading import Intake, read_intake
from realmnet_benchmarks.progress import reporting
from realmnet_benchmarks.sheets import UnknownLabels
from realmnet_runtime.cli.outputs import emit, print_json
from realmnet_runtime.errors import UsageError
from realmnet_runtime.labels import LABEL_SETS
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_runtime.suggestions import nearest

Root = Annotated[
    Path,
    typer.Argument(
        metavar="ROOT", help="Data set in the released layout; or a CSV, see --columns."
    ),
]
Columns = Annotated[
    Path | None,
    typer.Option(metavar="MAP.toml", help="ROOT is a hospital's CSV whose columns this map names."),
]
Images = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the images, if elsewhere.")
]
Labels = Annotated[str, typer.Option(metavar="SET", help=f"{', '.join(LABEL_SETS)}.")]
Unknown = Annotated[
    Literal["refuse", "mask"],
    typer.Option(
        "--unknown-labels",
        help="Empty or `?` label cells of the released layout; a map has its own.",
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="All usable cores by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_SPEC = PreprocessSpec(size=384)


def check(
    root: Root,
    *,
    columns: Columns = None,
    images: Images = None,
    labels: Labels = "psmm",
    unknown_labels: Unknown = "refuse",
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Report counts and everything that is wrong with a data set; images are named by line.

    Exit codes: 2 with an error (faults of tables, patients in two partitions, missing images), 7
    with images that cannot be read and no error, else 0.
    """
    intake = _intake(root, columns, images, labels, unknown_labels)
    with reporting("images checked") as report:
        found = check_data(intake, workers or usable_cores(), report)
    if as_json:
        print_json(found)
    else:
        emit(check_table(found) + "\n")
    raise typer.Exit(found.exit_code)


def prepare(
    root: Root,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder; `datasets/PSMM` goes inside.")
    ],
    *,
    size: Annotated[
        int, typer.Option(min=32, max=4096, help="Side of the prepared square; paper: 384, 512.")
    ] = _SPEC.size,
    deborder: Annotated[
        Literal["off", "crop", "crop+mask"], typer.Option(help="As the model will be used.")
    ] = _SPEC.deborder,
    fit: Annotated[Literal["stretch", "pad"], typer.Option()] = _SPEC.fit,
    columns: Columns = None,
    images: Images = None,
    labels: Labels = "psmm",
    unknown_labels: Unknown = "refuse",
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Make the prepared set of a data set: de-bordered, resized, lossless; run again to go on.

    An image that cannot be prepared is listed and its rows are left out; only if none can be is
    the exit code 7.
    """
    intake = _intake(root, columns, images, labels, unknown_labels)
    spec = PreprocessSpec(size=size, deborder=deborder, fit=fit)
    with reporting("images prepared") as report:
        done = prepare_data(intake, out, spec, workers or usable_cores(), report)
    if as_json:
        print_json(done)
        return
    emit(preparation_table(done) + "\n")


def _intake(
    root: Path,
    columns: Path | None,
    images: Path | None,
    labels: str,
    unknown_labels: UnknownLabels,
) -> Intake:
    if labels not in LABEL_SETS:
        raise UsageError(
            f"no label set '{labels}'; there are {', '.join(LABEL_SETS)}"
            f"{nearest(labels, LABEL_SETS)}"
        )
    if columns is not None and unknown_labels != "refuse":
        raise UsageError(
            f"--unknown-labels {unknown_labels} is for the released layout; write unknown_labels "
            "into the column map"
        )
    column_map = None if columns is None else read_column_map(columns)
    return read_intake(root, column_map, images, LABEL_SETS[labels], unknown_labels)


def usable_cores() -> int:
    """Processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
