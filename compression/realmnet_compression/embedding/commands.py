"""`realmnet bundle to-onnx`: a variant as one file for engines that are called from C++ or C#."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_compression.embedding.write import write_single_file
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.cli.outputs import require_writable_file
from realmnet_runtime.signatures.trust import ANY_BUNDLE


def to_onnx(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE")],
    *,
    variant: Annotated[str, typer.Option(help="Name of a variant whose model is an ONNX file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="ONNX file to write.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Write a variant as one file from decoded pixels and their box to probabilities."""
    require_writable_file(out)
    with Bundle.open(path, trust=ANY_BUNDLE) as opened:
        report = write_single_file(opened, variant, out)
    typer.echo(
        msgspec.json.encode(report).decode()
        if as_json
        else f"{report.file}: {report.bytes:,} bytes, within {report.largest_difference:.1e} of "
        f"the runtime's probabilities on {report.pictures} pictures"
    )
