"""`realmnet predict`: images in, one answer each out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer

from realmnet_runtime.cli.outputs import (
    print_json,
    require_writable_directory,
    require_writable_file,
    say,
    write_json_lines,
)
from realmnet_runtime.cli.tables import prediction_table, print_renderable
from realmnet_runtime.errors import ImageRefused, MissingPath
from realmnet_runtime.files import sha256_of, write_atomically
from realmnet_runtime.images import list_images, read_image
from realmnet_runtime.overlay import draw_overlay, encode_png
from realmnet_runtime.prediction import Prediction
from realmnet_runtime.predictor import Predictor
from realmnet_runtime.refusals import refused_answer


def predict(  # noqa: PLR0917 - the options of a command are all by name
    images: Annotated[list[Path], typer.Argument(metavar="IMG...", help="Images or directories.")],
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle; the installed default where none is named.")
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, openvino or onnxruntime.")] = "auto",
    variant: Annotated[str | None, typer.Option(help="Variant of the bundle, by name.")] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Most threads; physical cores up to 4 by default.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of `realmnet prepare`; the user's by default.")
    ] = None,
    require_prepared: Annotated[
        bool, typer.Option("--require-prepared", help="Refuse (6) what was not prepared before.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line, an image.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Also write the JSON lines to this file.")
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Write an annotated PNG of each image here.")
    ] = None,
) -> int:
    """Answer each image: probabilities, findings, META-PM grade, field of view.

    Research use only. Not a medical device.
    """
    paths = list(_expand(images))
    if output is not None:
        require_writable_file(output)
    if overlay is not None:
        require_writable_directory(overlay)
    answers: list[dict[str, Any]] = []
    with Predictor.open(
        bundle,
        engine=engine,
        threads=threads,
        variant=variant,
        cache=cache,
        require_prepared=require_prepared,
    ) as predictor:
        # OpenCV's own pool would otherwise take every core for decoding and resizing.
        cv2.setNumThreads(predictor.threads)
        for path in paths:
            answer = _answer(predictor, path, table=not json, overlay=overlay)
            answers.append(answer)
            if json:
                print_json(answer)
    if output is not None:
        write_json_lines(output, answers)
    refused = sum(answer["error"] is not None for answer in answers)
    if refused and len(paths) > 1:
        say(f"{refused} of {len(paths)} images refused")
    return ImageRefused.exit_code if refused else 0


def _answer(
    predictor: Predictor, path: Path, *, table: bool, overlay: Path | None
) -> dict[str, Any]:
    try:
        prediction = predictor.predict(path)
    except ImageRefused as error:
        say(f"{path}: {error}")
        return refused_answer(_digest(path), error)
    if overlay is not None:
        _write_overlay(path, prediction, overlay)
    if table:
        print_renderable(prediction_table(str(path), prediction, predictor.manifest.labels))
    return prediction.to_dict()


def _expand(images: list[Path]) -> Iterator[Path]:
    """Every image named, directories opened, before any work is done."""
    for path in images:
        if path.is_dir():
            yield from list_images(path)
        elif path.exists():
            yield path
        else:
            raise MissingPath(f"no image or directory '{path}'; check the path")


def _digest(path: Path) -> str | None:
    try:
        return sha256_of(path)
    except OSError:
        return None


def _write_overlay(path: Path, prediction: Prediction, directory: Path) -> None:
    picture = draw_overlay(read_image(path), prediction)
    write_atomically(directory / f"{prediction.input_sha256}.png", encode_png(picture))
