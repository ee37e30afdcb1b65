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
from realmnet_runtime.cli.reports import ReportFolder, open_report_folder
from realmnet_runtime.cli.tables import prediction_table, print_renderable
from realmnet_runtime.errors import ImageRefused, MissingPath
from realmnet_runtime.files import sha256_of, write_atomically
from realmnet_runtime.images import list_images, read_image
from realmnet_runtime.overlay import draw_overlay, encode_png
from realmnet_runtime.prediction import Prediction
from realmnet_runtime.predictor import Predictor


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
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line, an image.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Also write the JSON lines to this file.")
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Write an annotated PNG of each image here.")
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=1, help="Frame of a DICOM file of several, from 1.")
    ] = None,
    sr: Annotated[
        Path | None, typer.Option(help="Write a DICOM report (SR) of each DICOM image here.")
    ] = None,
    codes: Annotated[
        Path | None, typer.Option(help="Code map of the reports, JSON; see docs/dicom.md.")
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
    reports = open_report_folder(sr, codes, paths)
    answers: list[dict[str, Any]] = []
    with Predictor.open(
        bundle, engine=engine, threads=threads, variant=variant, cache=cache
    ) as predictor:
        # OpenCV's own pool would otherwise take every core for decoding and resizing.
        cv2.setNumThreads(predictor.threads)
        for path in paths:
            answer = _answer(
                predictor, path, frame=frame, table=not json, overlay=overlay, reports=reports
            )
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
    predictor: Predictor,
    path: Path,
    *,
    frame: int | None,
    table: bool,
    overlay: Path | None,
    reports: ReportFolder | None,
) -> dict[str, Any]:
    try:
        prediction = predictor.predict(path, frame=frame)
        if reports is not None:
            reports.write(path, prediction, predictor.manifest.labels)
    except ImageRefused as error:
        say(f"{path}: {error}")
        return _refusal(path, error)
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


def _refusal(path: Path, error: ImageRefused) -> dict[str, Any]:
    """What takes the place of an answer, so that lines and images stay aligned."""
    try:
        digest = sha256_of(path)
    except OSError:
        digest = None
    return {
        "input": {"sha256": digest},
        "error": {
            "kind": type(error).__name__,
            "exit_code": error.exit_code,
            "message": str(error),
        },
    }


def _write_overlay(path: Path, prediction: Prediction, directory: Path) -> None:
    picture = draw_overlay(read_image(path, frame=prediction.frame), prediction)
    write_atomically(directory / f"{prediction.input_sha256}.png", encode_png(picture))
