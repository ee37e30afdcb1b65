"""`realmnet export`, `quantise` and `release`."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_benchmarks.accuracy_tables import align
from realmnet_compression.build_openvino import OpenVinoReport
from realmnet_compression.export_onnx import require_same_model
from realmnet_compression.exporting import Int8Options, write_onnx, write_openvino
from realmnet_compression.quantisation.quantise import QuantiseReport
from realmnet_compression.quantisation.quantise import quantise as quantise_file
from realmnet_compression.quantisation.quantiser_pictures import quantiser_table
from realmnet_compression.recipe import RECIPES, load_recipe
from realmnet_compression.releasing.release import (
    ReleaseReport,
    find_checkpoint,
)
from realmnet_compression.releasing.release import release as release_bundle
from realmnet_runtime.cli.outputs import require_writable_file
from realmnet_training.checkpoint import load_checkpoint

CheckpointOption = Annotated[Path, typer.Option(help="Folder or file of `realmnet train`.")]
DataOption = Annotated[Path, typer.Option(help="Data set in the released PSMM layout.")]
CacheOption = Annotated[
    Path | None, typer.Option(help="Folder of prepared pictures; temporary by default.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
RecipeOption = Annotated[
    str, typer.Option("--recipe", help=f"{', '.join(RECIPES)}, or a .toml file.")
]


class FileFormat(enum.StrEnum):
    """What an exported file is."""

    ONNX = "onnx"
    OPENVINO = "openvino"


class FilePrecision(enum.StrEnum):
    """How an exported file stores its weights."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Folder or file of `realmnet train`; for an IR also a file of this command.",
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, *.onnx or *.xml.")],
    file_format: Annotated[
        FileFormat, typer.Option("--format", help="openvino writes an IR, two files.")
    ] = FileFormat.ONNX,
    precision: Annotated[
        FilePrecision,
        typer.Option(help="fp16 (onnx) keeps norms, softmax and head in FP32; int8 (openvino)."),
    ] = FilePrecision.FP32,
    data: Annotated[
        Path | None, typer.Option(help="Data set INT8 is calibrated and checked on.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Development table of it; the recipe's by default.")
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="Whose openvino step says how INT8 is made; complete by default."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="INT8 from an ONNX file: what it was exported from.")
    ] = None,
    cache: CacheOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a checkpoint as one static ONNX file, or as an OpenVINO IR; both are proved first."""
    options = Int8Options(data, split, recipe, checkpoint, cache)
    if precision is not FilePrecision.INT8:
        options.require_unsaid(precision)
    if file_format is FileFormat.ONNX:
        path = write_onnx(source, out, precision)
        typer.echo(_as_json({"model": str(path)}) if as_json else str(path))
        return
    report = write_openvino(source, out, precision, options)
    typer.echo(_as_json(report) if as_json else _built(report))


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
    require_same_model(file, facts.spec.size, len(facts.label_set))
    with quantiser_table(
        data,
        split or chosen.development,
        plan=chosen.calibration,
        check_pictures=chosen.check_pictures,
        facts=facts,
        cache=cache,
    ) as (calibration, check):
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


def _as_json(report: object) -> str:
    return msgspec.json.encode(report).decode()


def _built(report: OpenVinoReport) -> str:
    lines = [] if report.quantisation is None else [_quantised(report.quantisation)]
    return "\n".join([*lines, report.model, report.weights])


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
    if report.quality is not None:
        fit = report.quality
        lines.append(f"limits of quality fitted on {fit.pictures} pictures; beyond: {fit.counts}")
    lines.append(f"{report.bundle}: {report.bytes:,} bytes, digest {report.bundle_sha256}")
    return "\n".join(lines)
