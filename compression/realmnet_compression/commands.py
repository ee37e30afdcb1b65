"""`realmnet export`, `quantise`, `release` and `bundle`."""

from __future__ import annotations

import enum
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_benchmarks.accuracy_tables import align
from realmnet_benchmarks.records import read_psmm
from realmnet_compression.embedding.write import write_single_file
from realmnet_compression.export_onnx import export_onnx, read_onnx
from realmnet_compression.graphs.half import write_half
from realmnet_compression.quantisation.calibration import require_development
from realmnet_compression.quantisation.quantise import QuantiseReport
from realmnet_compression.quantisation.quantise import quantise as quantise_file
from realmnet_compression.recipe import RECIPES, load_recipe
from realmnet_compression.releasing.release import (
    ReleaseReport,
    find_checkpoint,
    quantiser_pictures,
)
from realmnet_compression.releasing.release import release as release_bundle
from realmnet_runtime.bundle import Bundle
from realmnet_runtime.cli.outputs import require_writable_file
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.checkpoint import load_checkpoint
from realmnet_training.pictures.prepared import prepare_split

CheckpointOption = Annotated[Path, typer.Option(help="Folder or file of `realmnet train`.")]
DataOption = Annotated[Path, typer.Option(help="Data set in the released PSMM layout.")]
CacheOption = Annotated[
    Path | None, typer.Option(help="Folder of prepared pictures; temporary by default.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
RecipeOption = Annotated[
    str, typer.Option("--recipe", help=f"{', '.join(RECIPES)}, or a .toml file.")
]


class FilePrecision(enum.StrEnum):
    """In which floating point an exported file stores its weights."""

    FP32 = "fp32"
    FP16 = "fp16"


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder or file of `realmnet train`.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="ONNX file to write.")],
    precision: Annotated[
        FilePrecision, typer.Option(help="fp16 keeps norms, softmax and the head in FP32.")
    ] = FilePrecision.FP32,
) -> None:
    """Write a checkpoint as one static ONNX file, compared with torch in both engines."""
    require_writable_file(out)
    model, _ = load_checkpoint(find_checkpoint(checkpoint))
    if precision is FilePrecision.FP32:
        typer.echo(str(export_onnx(model, out)))
        return
    with tempfile.TemporaryDirectory(prefix="realmnet-") as temporary:
        exported = export_onnx(model, Path(temporary) / "fp32.onnx")
        typer.echo(str(write_half(exported, out)))


def quantise(
    file: Annotated[Path, typer.Argument(metavar="ONNX", help="FP32 file of `realmnet export`.")],
    *,
    checkpoint: CheckpointOption,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="ONNX file to write.")],
    split: Annotated[
        str | None, typer.Option(help="Table to calibrate on; the recipe's by default.")
    ] = None,
    recipe: RecipeOption = "demonstration",
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the INT8 form of an exported file, from development pictures only."""
    require_writable_file(out)
    chosen = load_recipe(recipe)
    _, facts = load_checkpoint(find_checkpoint(checkpoint))
    _, signature = read_onnx(file)
    if (signature.size, signature.labels) != (facts.spec.size, len(facts.label_set)):
        raise ConfigurationError(
            f"'{file}' takes {signature.size} px and answers {signature.labels} labels; the "
            f"checkpoint {facts.spec.size} px and {len(facts.label_set)}: export it again"
        )
    table = read_psmm(data, facts.label_set)[split or chosen.development]
    require_development(table)
    with tempfile.TemporaryDirectory(prefix="realmnet-") as temporary:
        prepared = prepare_split(table, facts.spec, cache or Path(temporary), 2)
        calibration, check = quantiser_pictures(
            prepared, chosen.calibration, chosen.check_pictures, facts
        )
        report = quantise_file(
            file, out, list(calibration), check=check, settings=chosen.quantisation
        )
    typer.echo(_as_json(report) if as_json else _quantised(report))


def release(
    recipe: Annotated[
        str, typer.Argument(metavar="RECIPE", help=f"{', '.join(RECIPES)}, or a .toml file.")
    ],
    *,
    checkpoint: CheckpointOption,
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", "-o", help="Bundle to write, *.realmnet.")],
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle from a checkpoint; every limit of the recipe holds or nothing is written."""
    require_writable_file(out)
    report = release_bundle(load_recipe(recipe), checkpoint, data, out, cache=cache)
    typer.echo(_as_json(report) if as_json else _released(report))


bundle = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@bundle.callback()
def _bundle() -> None:
    """Inspect and verify bundles, and make single files of them."""


@bundle.command()
def verify(path: Annotated[Path, typer.Argument(metavar="BUNDLE")]) -> None:
    """Check every byte of a bundle against its manifest and print its digest."""
    with Bundle.open(path) as opened:
        typer.echo(f"{opened.digest}  {path}")


@bundle.command()
def inspect(path: Annotated[Path, typer.Argument(metavar="BUNDLE")]) -> None:
    """Print a bundle's manifest, as it is stored, after checking every byte."""
    with Bundle.open(path) as opened:
        typer.echo(opened.raw_manifest.decode(), nl=False)


@bundle.command(name="to-onnx")
def to_onnx(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE")],
    *,
    variant: Annotated[str, typer.Option(help="Name of a variant whose model is an ONNX file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="ONNX file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write a variant as one file from decoded pixels and their box to probabilities."""
    require_writable_file(out)
    with Bundle.open(path) as opened:
        report = write_single_file(opened, variant, out)
    typer.echo(
        _as_json(report)
        if as_json
        else f"{report.file}: {report.bytes:,} bytes, within {report.largest_difference:.1e} of "
        f"the runtime's probabilities on {report.pictures} pictures"
    )


def _as_json(report: object) -> str:
    return msgspec.json.encode(report).decode()


def _quantised(report: QuantiseReport) -> str:
    lines = [
        (
            f"{len(report.int8)} products in INT8, {len(report.weights_only)} with INT8 weights "
            f"only, {len(report.given_back)} given back to FP32"
        ),
        *(f"  given back: {name}" for name in report.given_back),
        *(
            f"  {who}: {1000 * share:.1f} of 1,000 decisions differ on check pictures"
            for who, share in report.flips.items()
        ),
    ]
    return "\n".join(lines)


def _released(report: ReleaseReport) -> str:
    lines = [_quantised(report.quantisation)]
    for table, parities in report.parity.items():
        precision = report.average_precision[table]
        rows = [["variant", "against", "flips per 1,000", "farthest", "mAP"]]
        rows += [
            [
                parity.variant,
                parity.reference,
                f"{parity.flips_per_thousand:.1f}",
                f"{parity.farthest_flip:.3f}",
                f"{precision[parity.variant]:.4f}",
            ]
            for parity in parities
        ]
        lines += [f"{table}: FP32 mAP {next(iter(precision.values())):.4f}", *align(rows)]
    lines.append(f"{report.bundle}: {report.bytes:,} bytes, digest {report.bundle_sha256}")
    return "\n".join(lines)
