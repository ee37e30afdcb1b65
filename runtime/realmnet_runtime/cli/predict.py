"""`realmnet predict`: images in, one answer each out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer

from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.audit import AuditLog
from realmnet_runtime.cli.drawings import Drawings
from realmnet_runtime.cli.options import Opening, grouped
from realmnet_runtime.cli.outputs import (
    print_json,
    require_writable_file,
    say,
    write_json_lines,
)
from realmnet_runtime.cli.reports import DicomFolders, open_dicom_folders
from realmnet_runtime.cli.tables import prediction_table, print_renderable
from realmnet_runtime.drawing.heat_overlay import LEAST_SIDE
from realmnet_runtime.errors import (
    ImageRefused,
    MissingPath,
    OutputError,
    RealmnetError,
    UsageError,
)
from realmnet_runtime.files import sha256_of
from realmnet_runtime.pictures.images import list_images
from realmnet_runtime.refusals import refused_answer
from realmnet_runtime.slots import SlotStore


@grouped
def predict(  # noqa: PLR0917 - the options of a command are all by name
    images: Annotated[list[Path], typer.Argument(metavar="IMG...", help="Images or directories.")],
    opening: Opening,
    store: Annotated[
        Path | None,
        typer.Option(help="Answer by the active slot of this store, as it was tested."),
    ] = None,
    answer_ungradable: Annotated[
        bool, typer.Option("--answer-ungradable", help="Answer ungradable images too.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line, an image.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Also write the JSON lines to this file.")
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Write an annotated PNG of each image here.")
    ] = None,
    heatmap: Annotated[
        Path | None, typer.Option(help="Write a heat map of each finding here, a PNG each.")
    ] = None,
    heatmap_side: Annotated[
        int | None,
        typer.Option(
            min=LEAST_SIDE, help="Most pixels of their longer side; the image's by default."
        ),
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=1, help="Frame of a DICOM file of several, from 1.")
    ] = None,
    sr: Annotated[
        Path | None, typer.Option(help="Write a DICOM report (SR) of each DICOM image here.")
    ] = None,
    captures: Annotated[
        Path | None,
        typer.Option(help="Write a DICOM heat map of each finding of each DICOM image here."),
    ] = None,
    codes: Annotated[
        Path | None, typer.Option(help="Code map of the reports, JSON; see docs/dicom.md.")
    ] = None,
    audit: Annotated[
        Path | None, typer.Option(help="Append every answer and refusal to this chained log.")
    ] = None,
) -> int:
    """Answer each image: probabilities, findings, META-PM grade, field of view.

    Research use only. Not a medical device.
    """
    paths = list(_expand(images))
    if output is not None:
        require_writable_file(output)
    drawings = Drawings(overlay, heatmap, heatmap_side)
    drawings.require_writable()
    dicom = open_dicom_folders(sr, captures, paths, codes=codes, heatmap_side=heatmap_side)
    log = None if audit is None else AuditLog(audit)
    answers: list[dict[str, Any]] = []
    if store is not None and opening.says_which:
        raise UsageError(
            "--store answers by its active slot, as it was tested; leave out --bundle, "
            "--engine, --variant, --threads and --require-prepared, or test the slot with others"
        )
    with _stops_recorded(log), _opened(opening, store) as predictor:
        # OpenCV's own pool would otherwise take every core for decoding and resizing.
        cv2.setNumThreads(predictor.threads)
        for path in paths:
            answer = _answer(
                predictor,
                path,
                log,
                frame=frame,
                table=not json,
                drawings=drawings,
                dicom=dicom,
                ungradable=answer_ungradable,
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


def _opened(opening: Opening, store: Path | None) -> Predictor:
    if store is None:
        return opening.open()
    return SlotStore(store, trust=opening.trust).open(cache=opening.cache)


def _answer(
    predictor: Predictor,
    path: Path,
    log: AuditLog | None,
    *,
    frame: int | None,
    table: bool,
    drawings: Drawings,
    dicom: DicomFolders,
    ungradable: bool,
) -> dict[str, Any]:
    # Recorded before it is given: an answer that nobody can account for is none.
    try:
        prediction = predictor.predict(path, frame=frame, answer_ungradable=ungradable)
        dicom.write(path, prediction, predictor.manifest.labels)
    except ImageRefused as error:
        digest = _digest(path)
        if log is not None:
            log.append_refusal(digest, error)
        say(f"{path}: {error}")
        return refused_answer(digest, error)
    if log is not None:
        log.append(prediction)
    if not prediction.quality.gradable:
        say(f"{path}: ungradable: {prediction.quality.summary}")
    labels = predictor.manifest.labels
    drawings.write(path, prediction, labels)
    if table:
        print_renderable(prediction_table(str(path), prediction, labels))
    return prediction.to_dict()


@contextmanager
def _stops_recorded(log: AuditLog | None) -> Iterator[None]:
    """Record an error that ends the run; one of writing could not be written."""
    try:
        yield
    except RealmnetError as error:
        if log is not None and not isinstance(error, OutputError):
            log.append_refusal(None, error)
        raise


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
