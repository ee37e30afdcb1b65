"""Phantoms on disk, in the layout in which PSMM was released.

    ROOT/datasets/PSMM/JPEGImages/*.jpg
    ROOT/datasets/PSMM/ImageSets/Main/{MYOPIA/MYOPIA.csv, val.csv, test.csv, ...}
    ROOT/datasets/PSMM/phantom_truth.csv     severity, border, box and more, one line per picture
    ROOT/datasets/PSMM/phantom_recipe.json   what the folder is made of; guards a resumed write

Every file is written under a temporary name and renamed, so a picture that is there is whole and
an interrupted write goes on where it stopped.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import cv2
import msgspec

from realmnet_benchmarks.phantoms.answers import label_rows
from realmnet_benchmarks.phantoms.cases import SIGNS, PhantomCase
from realmnet_benchmarks.phantoms.render import render
from realmnet_benchmarks.phantoms.window import place_window
from realmnet_runtime.errors import ConfigurationError, OutputError
from realmnet_runtime.labels import PSMM, LabelSet

RENDERER_VERSION: Final = 1
"""Raised when equal cases come to look different."""

TRAINING_TABLE: Final = "MYOPIA/MYOPIA.csv"
Progress = Callable[[int, int], None]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a folder of phantoms is made of.

    Attributes:
        renderer: version of the renderer.
        height: rows of each picture.
        width: columns of each picture.
        quality: JPEG quality, 1..100.
        cases: sha256 over all cases of all splits.
        labels: name of the label set of the tables.
        unknown_share: share of the label cells that are left unknown.
    """

    renderer: int
    height: int
    width: int
    quality: int
    cases: str
    labels: str = PSMM.name
    unknown_share: float = 0.0


def write_dataset(
    root: Path | str,
    splits: Mapping[str, Sequence[PhantomCase]],
    *,
    height: int = 384,
    width: int = 480,
    quality: int = 94,
    workers: int = 1,
    progress: Progress | None = None,
    label_set: LabelSet = PSMM,
    unknown_share: float = 0.0,
) -> Path:
    """Render cases into a data set of the released layout, or finish a write that was interrupted.

    Args:
        root: folder to write under; made where it is missing.
        splits: "train", "val", "test" or further names -> cases. The training split is written to
            MYOPIA/MYOPIA.csv, the others to NAME.csv.
        height: rows of each picture.
        width: columns of each picture.
        quality: JPEG quality, 1..100.
        workers: processes that render; 1 renders in this one.
        progress: called with (pictures there, pictures in all) after each of them.
        label_set: of the tables, PSMM's or the peripheral one.
        unknown_share: share of the cells of the peripheral labels that are left empty, 0 to below
            1; which ones follows from the cases.

    Returns:
        The folder `datasets/PSMM` under `root`.

    Raises:
        ConfigurationError: no cases, a patient in two splits, a picture named twice, an option out
            of range, or a folder that holds other phantoms.
        OutputError: something could not be written. What was whole before still is.
    """
    _check(splits, quality, workers)
    tables = {name: label_rows(cases, label_set, unknown_share) for name, cases in splits.items()}
    home = Path(root) / "datasets" / "PSMM"
    every = [case for cases in splits.values() for case in cases]
    recipe = Recipe(
        RENDERER_VERSION, height, width, quality, _digest(splits), label_set.name, unknown_share
    )
    try:
        (home / "JPEGImages").mkdir(parents=True, exist_ok=True)
        _agree(home / "phantom_recipe.json", recipe)
        _write_pictures(home / "JPEGImages", every, recipe, workers, progress)
        for name, rows in tables.items():
            table = TRAINING_TABLE if name == "train" else f"{name}.csv"
            _write_table(home / "ImageSets" / "Main" / table, rows)
        _write_table(home / "phantom_truth.csv", _truth_rows(splits, height, width))
    except OSError as error:
        raise OutputError(
            f"cannot write phantoms under {home}: {error.strerror or error}; make room or choose "
            "another folder, then run again to go on"
        ) from error
    return home


def _check(splits: Mapping[str, Sequence[PhantomCase]], quality: int, workers: int) -> None:
    if not 1 <= quality <= 100 or workers < 1:
        raise ConfigurationError(
            f"quality {quality} and {workers} workers; give a quality of 1..100, at least 1 worker"
        )
    if not any(splits.values()):
        raise ConfigurationError("no phantoms to write; give at least one case in one split")
    home_of: dict[str, str] = {}
    stems: set[str] = set()
    for name, cases in splits.items():
        if not name.isidentifier():
            raise ConfigurationError(f"split '{name}'; use letters, digits and '_' in its name")
        for case in cases:
            if home_of.setdefault(case.identity, name) != name:
                raise ConfigurationError(
                    f"patient {case.identity} is in the splits '{home_of[case.identity]}' and "
                    f"'{name}'; draw them with ranges of first_patient that do not overlap"
                )
            if case.stem in stems:
                raise ConfigurationError(
                    f"two pictures are named {case.stem}; give each image of an eye its own number"
                )
            stems.add(case.stem)


def _agree(path: Path, recipe: Recipe) -> None:
    if not path.exists():
        _replace(path, msgspec.json.format(msgspec.json.encode(recipe)))
        return
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Recipe)
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f"{path} is no recipe of phantoms ({error}); choose an empty folder"
        ) from error
    for name in Recipe.__struct_fields__:
        here, wanted = getattr(found, name), getattr(recipe, name)
        if here != wanted:
            raise ConfigurationError(
                f"{path.parent} holds phantoms with {name} {here}, asked for {wanted}; choose an "
                "empty folder or the options it was begun with"
            )


def _digest(splits: Mapping[str, Sequence[PhantomCase]]) -> str:
    total = hashlib.sha256()
    for name, cases in splits.items():
        total.update(name.encode())
        for case in cases:
            total.update(msgspec.json.encode(case))
    return total.hexdigest()


def _write_pictures(
    folder: Path,
    cases: Sequence[PhantomCase],
    recipe: Recipe,
    workers: int,
    progress: Progress | None,
) -> None:
    missing = [case for case in cases if not (folder / f"{case.stem}.jpg").exists()]
    done, total = len(cases) - len(missing), len(cases)
    if progress is not None and done:
        progress(done, total)
    # Pictures of one eye go to one worker, which then paints the eye once.
    jobs = [(folder, group, recipe) for group in _by_eye(missing)]
    for written in _results(jobs, workers):
        for _ in range(written):
            done += 1
            if progress is not None:
                progress(done, total)


_Job = tuple[Path, list[PhantomCase], Recipe]


def _results(jobs: list[_Job], workers: int) -> Iterator[int]:
    if workers == 1 or len(jobs) < 2:
        yield from map(_write_eye, jobs)
        return
    # "spawn": a forked OpenCV may inherit locked threads.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_single_thread) as pool:
        yield from pool.map(_write_eye, jobs, chunksize=4)


def _single_thread() -> None:
    cv2.setNumThreads(1)


def _by_eye(cases: Iterable[PhantomCase]) -> Iterator[list[PhantomCase]]:
    groups: dict[tuple[str, str], list[PhantomCase]] = {}
    for case in cases:
        groups.setdefault((case.identity, case.eye), []).append(case)
    yield from groups.values()


def _write_eye(job: _Job) -> int:
    folder, cases, recipe = job
    for case in cases:
        image = render(case, recipe.height, recipe.width).image
        _, coded = cv2.imencode(
            ".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, recipe.quality]
        )
        _replace(folder / f"{case.stem}.jpg", coded.tobytes())
    return len(cases)


def _truth_rows(
    splits: Mapping[str, Sequence[PhantomCase]], height: int, width: int
) -> Iterator[list[str]]:
    facts = ["split", "hospital", "border", "eye", "seed", "peripheral", "confusers"]
    yield ["filename", *facts, *(f"severity_{name}" for name in SIGNS), "x0", "y0", "x1", "y1"]
    for split, cases in splits.items():
        for case in cases:
            yield [
                f"{case.stem}.jpg",
                split,
                case.hospital.name,
                case.border,
                case.eye,
                str(case.seed),
                " ".join(case.peripheral),
                " ".join(case.confusers),
                *(f"{value:g}" for value in case.severity),
                *map(str, place_window(case, height, width).box()),
            ]


def _write_table(path: Path, rows: Iterable[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    _replace(path, text.getvalue().encode())


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
