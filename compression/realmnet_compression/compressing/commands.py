"""`realmnet compress`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_compression.compressing.recipe import COMPRESSIONS, load_compression
from realmnet_compression.compressing.run import CompressionReport
from realmnet_compression.compressing.run import compress as run_recipe


def compress(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help=f"{', '.join(COMPRESSIONS)}, or a .toml file.")
    ],
    *,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Folder or file of `realmnet train`.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Data set in the released PSMM layout.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder of the run.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of prepared pictures; OUT/cache by default.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe as JSON and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a bundle of variants, every step proved; run again to go on where it was broken off."""
    chosen = load_compression(recipe)
    if dry_run:
        typer.echo(msgspec.json.format(msgspec.json.encode(chosen), indent=2).decode())
        return
    if checkpoint is None or data is None or out is None:
        raise typer.BadParameter("--checkpoint, --data and --out are needed unless --dry-run")
    report = run_recipe(chosen, checkpoint, data, out, cache=cache)
    typer.echo(msgspec.json.encode(report).decode() if as_json else _in_words(report))


def _in_words(report: CompressionReport) -> str:
    made = f"{len(report.made)} steps made, {len(report.kept)} kept; '{report.folder}/README.md'"
    if report.bundle is None:
        return made
    return f"{made}\n{report.bundle}: digest {report.bundle_sha256}"
