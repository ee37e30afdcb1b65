"""`realmnet report`: what score tables say, beside the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from realmnet_benchmarks.progress import reporting
from realmnet_benchmarks.reproduction import (
    REFERENCE_MODEL,
    Draws,
    html_page,
    json_page,
    read_results,
    reproduction_report,
    text_page,
)
from realmnet_runtime.cli.outputs import emit, print_json, require_writable_file
from realmnet_runtime.files import write_atomically

report = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)

_DRAWS = Draws()


@report.callback()
def _report() -> None:
    """Reports from saved scores. Research use only."""


@report.command()
def reproduction(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS", help="Folder of *.scores.npz, searched to the end.")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option(metavar="PAGE.html", help="One page with figures as well.")
    ] = None,
    reference: Annotated[
        str, typer.Option(metavar="MODEL", help="Title of the model others are compared with.")
    ] = REFERENCE_MODEL,
    replicates: Annotated[
        int, typer.Option(min=2, help="Of each bootstrap; the paper's are 1,000.")
    ] = _DRAWS.replicates,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = _DRAWS.seed,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print every table of the paper there are results for: published, ours and the difference.

    Says in every section on what was measured: phantoms diagnose nothing.
    """
    if out is not None:
        require_writable_file(out)
    with reporting("score tables read") as progress:
        found = read_results(results, Draws(replicates, seed), progress)
    document = reproduction_report(found, reference)
    if out is not None:
        write_atomically(out, html_page(document).encode())
    if as_json:
        print_json(json_page(document))
    else:
        emit(text_page(document))
