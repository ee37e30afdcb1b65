"""`realmnet boundary`: segmentation of the device's border."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_benchmarks.progress import reporting
from realmnet_runtime.drawing.overlay import encode_png
from realmnet_runtime.files import write_atomically
from realmnet_training.boundary.annotations import read_annotations
from realmnet_training.boundary.checkpoint import load_boundary_checkpoint
from realmnet_training.boundary.evaluate import (
    PARTS,
    choose_part,
    compare_masks,
    comparison_table,
)
from realmnet_training.boundary.fit import train_boundary
from realmnet_training.boundary.phantom_annotations import write_phantom_annotations
from realmnet_training.boundary.preset import BOUNDARY_PRESETS, load_boundary_preset
from realmnet_training.boundary.sheet import contact_sheet

boundary = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@boundary.callback()
def _boundary() -> None:
    """Segment the device's border around the retina. Research use only."""


@boundary.command()
def phantoms(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    *,
    patients: Annotated[int, typer.Option(min=1)] = 206,
    images_per_patient: Annotated[int, typer.Option(min=1)] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 42,
    size: Annotated[int, typer.Option(min=96, max=4096, help="Rows; columns are 5/4.")] = 384,
) -> None:
    """Draw synthetic phantoms with their apertures; they diagnose nothing."""
    with reporting("pictures") as report:
        write_phantom_annotations(
            out,
            patients,
            seed,
            images_per_patient=images_per_patient,
            height=size,
            progress=report,
        )
    typer.echo(repr(read_annotations(out)))


@boundary.command()
def train(
    preset: Annotated[
        str,
        typer.Argument(metavar="PRESET", help=f"{', '.join(BOUNDARY_PRESETS)}, or a .toml file."),
    ] = "boundary",
    *,
    data: Annotated[Path | None, typer.Option(help="Folder of annotated pictures.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, as fit.seed=7."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved preset as JSON and stop.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in OUT after its last whole epoch.")
    ] = False,
) -> None:
    """Train on annotated apertures; the best epoch on the development part is kept."""
    chosen = load_boundary_preset(preset, changes or ())
    if dry_run:
        typer.echo(msgspec.json.format(msgspec.json.encode(chosen), indent=2).decode())
        return
    if data is None or out is None:
        raise typer.BadParameter("--data and --out are needed unless --dry-run is given")
    typer.echo(str(train_boundary(chosen, data, out, resume=resume)))


@boundary.command()
def evaluate(
    *,
    checkpoint: Annotated[Path, typer.Option(help="Checkpoint of `realmnet boundary train`.")],
    data: Annotated[Path, typer.Option(help="Folder of annotated pictures.")],
    part: Annotated[str, typer.Option(help=f"{', '.join(PARTS)}.")] = "test",
    sheet: Annotated[
        Path | None, typer.Option(help="PNG to draw: the outlines on up to 12 pictures.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare the network's masks with the runtime's classical ones, per kind of border."""
    network, facts = load_boundary_checkpoint(checkpoint)
    table = choose_part(read_annotations(data), facts, part)
    comparison = compare_masks(network, facts, table, part)
    if sheet is not None:
        write_atomically(sheet, encode_png(contact_sheet(network, table)))
    if as_json:
        typer.echo(msgspec.json.encode(comparison.to_dict()).decode())
        return
    typer.echo(comparison_table(comparison))
