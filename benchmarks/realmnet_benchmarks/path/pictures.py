"""What a measurement answers: files that were given, and phantoms that are drawn for it."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from realmnet_benchmarks.path.big_phantoms import COLUMNS, ROWS, camera_file, draw_cases
from realmnet_benchmarks.path.steadiness import Source, Task
from realmnet_benchmarks.progress import reporting
from realmnet_runtime.errors import MissingPath, UsageError
from realmnet_runtime.files import make_directory, sha256_of, write_atomically
from realmnet_runtime.pictures.images import list_images

SYNTHETIC = "synthetic phantoms"

_SEED = 11
_IMAGES_PER_PATIENT = 4


@contextlib.contextmanager
def pictures_of(
    given: Sequence[Path],
    phantoms: int,
    drawn: Path | None,
    *,
    rows: int = ROWS,
    columns: int = COLUMNS,
) -> Iterator[dict[str, list[str]]]:
    """Files by what they are, in words.

    Args:
        given: files, or folders of them.
        phantoms: to draw besides.
        drawn: folder that keeps them for the next time; else they go with the block.
        rows: of the phantoms.
        columns: of the phantoms.

    Raises:
        MissingPath: a file or folder that is not there.
        UsageError: nothing at all.
        OutputError: a phantom cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="realmnet-") as folder:
        found: dict[str, list[str]] = {}
        if given:
            found["given files"] = [str(file) for place in given for file in _files(place)]
        if phantoms:
            place = Path(folder) if drawn is None else drawn
            words = f"{SYNTHETIC}, {columns} x {rows} pixels, JPEG"
            found[words] = _draw(place, phantoms, rows, columns)
        if not found:
            raise UsageError("no pictures to answer; name files, or draw some with --phantoms")
        yield found


def described(pictures: dict[str, list[str]]) -> str:
    """Groups in words: `3 given files and 8 synthetic phantoms, ...`."""
    return " and ".join(f"{len(files)} {words}" for words, files in pictures.items())


def files_of(pictures: dict[str, list[str]]) -> list[str]:
    """Files of all groups, group after group."""
    return [file for group in pictures.values() for file in group]


def drawn_task(
    count: int, images_per_patient: int, seed: int, rows: int, columns: int
) -> tuple[list[Source], Task]:
    """Phantoms whose decisions are to be compared, undrawn."""
    cases = draw_cases(count, images_per_patient, seed)
    digest = hashlib.sha256(b"".join(map(msgspec.json.encode, cases))).hexdigest()
    words = f"{SYNTHETIC}, {columns} x {rows} pixels, JPEG"
    return list(enumerate(cases)), Task(words, count, digest, rows, columns)


def listed_task(folder: Path) -> tuple[list[Source], Task]:
    """Files of a folder whose decisions are to be compared.

    Raises:
        MissingPath: no such folder, or none of its files is a picture.
    """
    files = list_images(folder)
    digest = sha256_of("".join(map(sha256_of, files)).encode())
    return list(enumerate(files)), Task("given files", len(files), digest)


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if place.is_dir():
        return list_images(place)
    raise MissingPath(f"no file or folder {place}; name pictures")


def _draw(folder: Path, count: int, rows: int, columns: int) -> list[str]:
    make_directory(folder)
    files = []
    with reporting("phantoms drawn") as report:
        for number, case in enumerate(draw_cases(count, _IMAGES_PER_PATIENT, _SEED)):
            # Named by what it is, so that one of another draw is not taken for it.
            mark = sha256_of(msgspec.json.encode((case, rows, columns)))[:16]
            file = folder / f"phantom-{mark}.jpg"
            if not file.exists():
                write_atomically(file, camera_file(case, rows, columns))
            files.append(str(file))
            report(number + 1, count)
    return files
