"""`realmnet data prepare`: raw images become prepared ones, once, losslessly, in the same layout.

    OUT/datasets/PSMM/JPEGImages/*.png           SIZE x SIZE, as the device's own code prepares them
    OUT/datasets/PSMM/ImageSets/Main/...         the tables without the rows that failed
    OUT/datasets/PSMM/preprocess.json            the specification they were made by
    OUT/datasets/PSMM/preprocess_prepared.json   the one to read them by: the border off
    OUT/datasets/PSMM/prepared.jsonl             what is finished, for a run that goes on

A picture read by the second specification becomes the very tensor the raw one becomes by the first.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.intake.ledger import Finished, Ledger, open_ledger
from realmnet_benchmarks.intake.preparation_report import Failure, PreparationReport
from realmnet_benchmarks.intake.reading import Intake, Place, in_order
from realmnet_benchmarks.progress import Report
from realmnet_benchmarks.records import IMAGE_FOLDER, TABLE_FOLDER, Records
from realmnet_benchmarks.splits import Split
from realmnet_benchmarks.tables import write_table
from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.cli.outputs import require_writable_directory
from realmnet_runtime.errors import ConfigurationError, ImageRefused, MissingPath
from realmnet_runtime.files import cannot_write, sha256_of, write_atomically
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, prepare
from realmnet_runtime.structs import decode_json

SPEC_FILE: Final = "preprocess.json"
READING_SPEC_FILE: Final = "preprocess_prepared.json"
LEDGER_FILE: Final = "prepared.jsonl"


@dataclass(frozen=True, repr=False)
class _Job:
    """One picture to prepare."""

    file: str
    source: Path
    folder: Path
    name: str
    spec: PreprocessSpec
    before: Finished | None


def prepare_data(
    intake: Intake,
    out: Path,
    spec: PreprocessSpec,
    workers: int = 1,
    progress: Report | None = None,
) -> PreparationReport:
    """Prepare every image of a data set, or go on with a preparation that was broken off.

    Args:
        intake: the tables; they must be without a fault.
        out: folder to write under, made where it is missing.
        spec: the device's own pre-processing.
        workers: threads that decode and prepare.
        progress: called with (images done, images in all).

    Raises:
        ConfigurationError: a fault of a table, a patient in two partitions, two images whose names
            differ in their suffix only, or an `out` that holds the data set itself or pictures
            prepared otherwise.
        ImageRefused: not one image could be prepared.
        OutputError: something could not be written; what was finished is kept.
    """
    _refuse_faults(intake)
    home = out / "datasets" / "PSMM"
    folder = home / IMAGE_FOLDER
    if folder.resolve() == intake.images.resolve():
        raise ConfigurationError(f"{out} holds the images themselves; choose another folder")
    names = _prepared_names(intake)
    require_writable_directory(folder)
    _agree(home, spec)
    with open_ledger(home / LEDGER_FILE) as ledger:
        jobs = [
            _Job(file, intake.images / file, folder, name, spec, ledger.get(name))
            for file, name in names.items()
        ]
        done, reasons, made = _prepare(jobs, ledger, workers, progress)
    failures = _failures(intake, reasons)
    if not done:
        raise ImageRefused(
            f"none of the {len(names)} images could be prepared; {failures[0].place}: "
            f"{failures[0].reason}"
        )
    rows = _write_tables(intake, home, names, set(reasons))
    return PreparationReport(
        size=spec.size,
        images=len(names),
        made=made,
        kept=len(done) - made,
        failed=len(reasons),
        upsampled=sum(finished.upsampled for finished in done),
        rows=rows,
        empty_tables=tuple(name for name in intake.splits if name not in rows),
        failures=failures,
        unknown_labels=sum(len(split.left_out) for split in intake.splits.values()),
    )


def _refuse_faults(intake: Intake) -> None:
    for fault in intake.faults:
        others = len(intake.faults) - 1
        more = f" (and {others} more)" if others else ""
        raise ConfigurationError(f"{fault}{more}; `realmnet data check` lists all")
    # Refuses a patient in two partitions.
    Records(intake.images.parent, intake.splits)


def _prepared_names(intake: Intake) -> dict[str, str]:
    """File name of each image to that of its prepared picture."""
    names: dict[str, str] = {}
    places: dict[str, tuple[str, Place]] = {}
    for entry in intake.entries():
        name = names[entry.file] = f"{Path(entry.file).stem}.png"
        # Case is folded: the set may be copied to a disk that does not tell cases apart.
        file, place = places.setdefault(name.casefold(), (entry.file, entry.place))
        if file != entry.file:
            raise ConfigurationError(
                f"the file names of {place} and {entry.place} differ in suffix or case only; "
                "rename one of them"
            )
    return names


def _agree(home: Path, spec: PreprocessSpec) -> None:
    """Store the specification, or refuse a folder that was begun with another."""
    path = home / SPEC_FILE
    if path.exists():
        found = decode_json(path.read_bytes(), PreprocessSpec, str(path))
        for name in PreprocessSpec.__struct_fields__:
            here, wanted = getattr(found, name), getattr(spec, name)
            if here != wanted:
                raise ConfigurationError(
                    f"{home} was begun with {name} {here}, asked for {wanted}; choose an empty "
                    "folder or the options it was begun with"
                )
    reading = msgspec.structs.replace(spec, deborder="off")
    write_atomically(path, _json(spec))
    write_atomically(home / READING_SPEC_FILE, _json(reading))


def _json(spec: PreprocessSpec) -> bytes:
    return msgspec.json.format(msgspec.json.encode(spec)) + b"\n"


def _prepare(
    jobs: list[_Job], ledger: Ledger, workers: int, progress: Report | None
) -> tuple[list[Finished], dict[str, str], int]:
    """What is finished, why the rest is not, and how many were made now."""
    done: list[Finished] = []
    reasons: dict[str, str] = {}
    made = 0
    answers = zip(jobs, in_order(_one, jobs, workers), strict=True)
    for number, (job, answer) in enumerate(answers, start=1):
        if isinstance(answer, str):
            reasons[job.file] = answer
        else:
            done.append(answer)
            if answer is not job.before:
                ledger.add(answer)
                made += 1
        if progress is not None:
            progress(number, len(jobs))
    return done, reasons, made


def _one(job: _Job) -> Finished | str:
    """The line of a picture that is finished, or why it cannot be prepared."""
    if job.before is not None and job.before.holds(job.folder, job.source):
        return job.before
    target = job.folder / job.name
    try:
        # Before the picture is read: one that changes meanwhile is then made again.
        status = job.source.stat()
        picture, upsampled = _prepared(job.source, job.spec)
    except (OSError, MissingPath, ImageRefused) as error:
        _remove(target)
        return str(error) if isinstance(error, ImageRefused) else "not in the folder of images"
    coded = _png(picture)
    write_atomically(target, coded)
    return Finished(job.name, status.st_size, status.st_mtime_ns, sha256_of(coded), upsampled)


def _prepared(source: Path, spec: PreprocessSpec) -> tuple[NDArray[np.uint8], bool]:
    image = read_image(source, model_size=spec.decode_size)
    if spec.deborder == "off":
        height, width = image.shape[:2]
        return prepare(image, spec), _grows(height, width, spec)
    found = find_field_of_view(image)
    x0, y0, x1, y1 = found.box
    return prepare(image, spec, found), _grows(y1 - y0, x1 - x0, spec)


def _grows(height: int, width: int, spec: PreprocessSpec) -> bool:
    """Whether a side of the crop is enlarged on its way to the square."""
    side = min(height, width) if spec.fit == "stretch" else max(height, width)
    return side < spec.size


def _png(picture: NDArray[np.uint8]) -> bytes:
    _, coded = cv2.imencode(".png", picture[..., ::-1])
    return coded.tobytes()


def _remove(target: Path) -> None:
    """A picture made from an original that has since been spoilt is not part of the set."""
    try:
        target.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(target.parent, error) from error


def _failures(intake: Intake, reasons: dict[str, str]) -> tuple[Failure, ...]:
    return tuple(
        Failure(Place(split.name, line), reasons[file])
        for split in intake.splits.values()
        for line, file in zip(split.lines, split.files, strict=True)
        if file in reasons
    )


def _write_tables(
    intake: Intake, home: Path, names: dict[str, str], failed: set[str]
) -> dict[str, int]:
    """Write each table without the rows that failed; the number of rows of each."""
    rows: dict[str, int] = {}
    for name, split in intake.splits.items():
        path = home / TABLE_FOLDER / intake.tables[name]
        kept = [row for row, file in enumerate(split.files) if file not in failed]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not kept:
                path.unlink(missing_ok=True)
                continue
        except OSError as error:
            raise cannot_write(path, error) from error
        write_table(path, _renamed(split.select(kept), names))
        rows[name] = len(kept)
    return rows


def _renamed(split: Split, names: dict[str, str]) -> Split:
    return Split(
        name=split.name,
        images=split.images,
        label_set=split.label_set,
        files=tuple(names[file] for file in split.files),
        labels=split.labels,
        patients=split.patients,
        sources=split.sources,
        eyes=split.eyes,
        exams=split.exams,
        known=split.known,
    )
