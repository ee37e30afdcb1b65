"""`realmnet verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_compression.verifying.pictures import drawn_pictures, table_pictures
from realmnet_compression.verifying.subjects import open_subject, require_same
from realmnet_compression.verifying.verify import (
    StageName,
    Verification,
    VerifyLimits,
    label_set_of,
    spec_of,
)
from realmnet_compression.verifying.verify import verify as verify_subjects
from realmnet_runtime.bundles.manifest import Engine

_LIMITS = VerifyLimits()


def verify(
    first: Annotated[
        str, typer.Argument(metavar="A", help="Checkpoint, ONNX file, IR, or bundle[#VARIANT].")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="Likewise; held against A.")],
    *,
    data: Annotated[
        Path | None,
        typer.Option(help="Data set in the released PSMM layout; phantoms are drawn without."),
    ] = None,
    split: Annotated[str, typer.Option(help="Table of the data set.")] = "test",
    stage: Annotated[StageName, typer.Option(help="Stop after this stage.")] = "decisions",
    engine: Annotated[Engine, typer.Option(help="That runs ONNX files.")] = "onnxruntime",
    pictures: Annotated[int, typer.Option(min=1, help="Phantoms to draw.")] = 64,
    height: Annotated[int, typer.Option(min=96, max=4096, help="Rows of a phantom.")] = 384,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest difference of logits and scores, FP32 only.")
    ] = _LIMITS.tensors,
    probabilities: Annotated[
        float, typer.Option(min=0, max=1, help="Largest difference of a probability.")
    ] = _LIMITS.probabilities,
    flips: Annotated[
        float, typer.Option(min=0, max=1, help="Share of decisions that may differ.")
    ] = _LIMITS.flips,
    rank_correlation: Annotated[
        float, typer.Option(min=-1, max=1, help="Least of score maps, median of a label.")
    ] = _LIMITS.rank_correlation,
    peak_shift: Annotated[
        float, typer.Option(min=0, help="Greatest of score maps, cells, median of a label.")
    ] = _LIMITS.peak_shift,
    threads: Annotated[int, typer.Option(min=1)] = 2,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of prepared pictures; temporary by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask two forms of a model about the same pictures; exit code 4 where a limit fails."""
    here, there = (open_subject(g, engine=engine, threads=threads) for g in (first, second))
    require_same(here, there)
    limits = VerifyLimits(
        tensors=tolerance,
        probabilities=probabilities,
        flips=flips,
        rank_correlation=rank_correlation,
        peak_shift=peak_shift,
    )
    spec = spec_of(here, there)
    if data is None:
        tensors, shown = drawn_pictures(pictures, height, spec)
        found = verify_subjects(here, there, tensors, shown, limits=limits, last=stage)
    else:
        with table_pictures(data, split, label_set_of(here, there), spec, cache) as (table, shown):
            found = verify_subjects(here, there, table, shown, limits=limits, last=stage)
    typer.echo(msgspec.json.encode(found).decode() if as_json else _in_words(found))
    found.require_passed()


def _in_words(found: Verification) -> str:
    head = (
        f"{found.second} against {found.first}, {found.pictures:,} pictures, measured on "
        f"{found.measured_on}"
    )
    lines = [f"  {'ok  ' if stage.passed else 'FAIL'} {stage.line}" for stage in found.stages]
    return "\n".join([head, *lines])
