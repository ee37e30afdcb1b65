"""Annotated folders of synthetic phantoms, whose aperture is known to the pixel."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from realmnet_benchmarks.phantoms import PhantomCase, draw_population, render
from realmnet_runtime.drawing.overlay import encode_png
from realmnet_runtime.errors import UsageError
from realmnet_runtime.files import cannot_write, write_atomically
from realmnet_training.boundary.annotations import COLUMNS, IMAGES, MASKS, TABLE


def write_phantom_annotations(
    root: Path,
    patients: int,
    seed: int,
    *,
    images_per_patient: int = 2,
    height: int = 384,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Draw phantoms with their apertures into a folder that `read_annotations` reads.

    Phantoms show that the pipeline works; what is measured on them is true of them alone.

    Args:
        root: folder to write; pictures already there are drawn again.
        patients: how many.
        seed: of the population.
        images_per_patient: of both eyes together.
        height: rows of each picture; columns are 5/4 of them.
        progress: called with (pictures there, pictures in all) after each.

    Returns:
        `root`.

    Raises:
        UsageError: the folder already holds another table.
        ConfigurationError: a number out of range.
        OutputError: something cannot be written.
    """
    cases = draw_population(patients, seed, images_per_patient=images_per_patient)
    table = _table(cases)
    path = root / TABLE
    if path.is_file() and path.read_bytes() != table:
        raise UsageError(f"'{root}' holds other annotations; choose another folder")
    try:
        (root / IMAGES).mkdir(parents=True, exist_ok=True)
        (root / MASKS).mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(root, error) from error
    for done, case in enumerate(cases, start=1):
        phantom = render(case, height, height * 5 // 4)
        write_atomically(root / IMAGES / f"{case.stem}.png", encode_png(phantom.image))
        mask = np.where(phantom.aperture, np.uint8(255), np.uint8(0))
        write_atomically(root / MASKS / f"{case.stem}.png", _encode_mask(mask))
        if progress is not None:
            progress(done, len(cases))
    write_atomically(path, table)
    return root


def _table(cases: tuple[PhantomCase, ...]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in cases:
        name = f"{case.stem}.png"
        writer.writerow([name, name, case.identity, case.border])
    return text.getvalue().encode()


def _encode_mask(mask: np.ndarray) -> bytes:
    _, coded = cv2.imencode(".png", mask)
    return coded.tobytes()
