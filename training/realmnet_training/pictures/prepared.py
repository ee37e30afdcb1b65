"""Prepared pictures of a table, decoded and de-bordered once, kept in a memory-mapped file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias, overload

import cv2
import msgspec
import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from realmnet_benchmarks.progress import reporting
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ImageRefused, MissingPath, RealmnetError
from realmnet_runtime.files import cannot_write, temporary_beside, write_atomically
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, prepare

Picture: TypeAlias = NDArray[np.uint8]

_CACHE_VERSION: Final = 1
_AT_ONCE: Final = 64
_SECONDS_BETWEEN_LOOKS: Final = 0.5


class PictureRows(Sequence[Picture]):
    """Pictures of rows that are scattered over the prepared files of several tables.

    Args:
        files: (M, S, S, 3) uint8 each.
        places: (N, 2), file and row of each picture.
    """

    def __init__(self, files: Sequence[NDArray[np.uint8]], places: NDArray[np.intp]) -> None:
        self._files = files
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> PictureRows: ...
    def __getitem__(self, index: int | slice) -> Picture | PictureRows:
        if isinstance(index, slice):
            return PictureRows(self._files, self._places[index])
        file, row = self._places[index]
        picture: Picture = self._files[file][row]
        return picture


@dataclass(frozen=True)
class PreparedSplit:
    """A table whose pictures are ready to be augmented.

    Attributes:
        split: the rows that could be read, in the table's order.
        pictures: (S, S, 3) uint8 RGB of each row, memory-mapped, read-only.
        refused: reasons, one for each row left out, with its line in the table.
    """

    split: Split
    pictures: NDArray[np.uint8] | PictureRows
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Tables:
    """The prepared tables of a run; without development nothing is measured while training."""

    train: PreparedSplit
    development: PreparedSplit | None


def choose_prepared(split: Split, tables: Sequence[PreparedSplit]) -> PreparedSplit:
    """Rows of a split whose pictures lie in the prepared files of whole tables.

    Args:
        split: any choice from the tables' rows, in any order, repeats allowed.
        tables: which together hold every image that could be read.

    Raises:
        MissingPath: none of the rows could be read.
    """
    places = {
        file: (number, row)
        for number, table in enumerate(tables)
        for row, file in enumerate(table.split.files)
    }
    kept = [row for row, file in enumerate(split.files) if file in places]
    if not kept:
        raise MissingPath(f"none of the {len(split)} images of split '{split.name}' could be used")
    chosen = split.select(kept)
    return PreparedSplit(
        split=chosen,
        pictures=PictureRows(
            [np.asarray(table.pictures) for table in tables],
            np.array([places[file] for file in chosen.files], np.intp),
        ),
        refused=tuple(
            f"line {line}: its picture could not be used"
            for line, file in zip(split.lines, split.files, strict=True)
            if file not in places
        ),
    )


def prepare_split(split: Split, spec: PreprocessSpec, cache: Path, workers: int) -> PreparedSplit:
    """Prepare all pictures of a table, or map the file an earlier call left.

    The file's name is a digest of the table, the specification, and the sizes and times of the
    image files, so a changed picture or specification is prepared anew.

    Args:
        split: the table.
        spec: the device's own pre-processing.
        cache: folder for the file; created where it is absent.
        workers: threads that decode.

    Raises:
        MissingPath: an image is gone, or none of the table could be read.
        OutputError: the cache cannot be written.
    """
    pictures_path, facts_path = _cache_files(split, spec, cache)
    if not (pictures_path.is_file() and facts_path.is_file()):
        _build(split, spec, pictures_path, facts_path, workers)
    return _opened(split, pictures_path, facts_path)


def await_split(split: Split, spec: PreprocessSpec, cache: Path, workers: int) -> PreparedSplit:
    """As `prepare_split`, in a process that leaves the work to the first one and waits for it.

    It waits as long as that takes; what started the processes ends them all when one fails.
    """
    del workers
    paths = _cache_files(split, spec, cache)
    while not all(path.is_file() for path in paths):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    return _opened(split, *paths)


def _cache_files(split: Split, spec: PreprocessSpec, cache: Path) -> tuple[Path, Path]:
    stem = cache / f"prepared-{_cache_key(split, spec)}"
    return stem.with_suffix(".npy"), stem.with_suffix(".json")


def _opened(split: Split, pictures_path: Path, facts_path: Path) -> PreparedSplit:
    refused = msgspec.json.decode(facts_path.read_bytes(), type=dict[int, str])
    kept = [row for row in range(len(split)) if row not in refused]
    if not kept:
        raise MissingPath(
            f"none of the {len(split)} images of split '{split.name}' could be used; the first: "
            f"{next(iter(refused.values()), 'the table is empty')}"
        )
    return PreparedSplit(
        split=split.select(kept),
        pictures=np.load(pictures_path, mmap_mode="r"),
        refused=tuple(f"line {split.lines[row]}: {reason}" for row, reason in refused.items()),
    )


def _cache_key(split: Split, spec: PreprocessSpec) -> str:
    digest = hashlib.sha256(f"{_CACHE_VERSION}\n".encode() + msgspec.json.encode(spec))
    for path in split.paths:
        try:
            facts = path.stat()
        except OSError as error:
            raise MissingPath(
                f"an image of split '{split.name}' is gone ({error.strerror}); complete the folder "
                "or remove its line from the table"
            ) from error
        digest.update(f"{path.name}\t{facts.st_size}\t{facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:24]


def _build(
    split: Split, spec: PreprocessSpec, pictures_path: Path, facts_path: Path, workers: int
) -> None:
    temporary = temporary_beside(pictures_path)
    try:
        pictures_path.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(split), spec.size, spec.size, 3)
        pictures = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        refused: dict[int, str] = {}
        used = 0
        with reporting(f"{split.name}: pictures prepared") as report:
            for row, answer in enumerate(_prepared(split, spec, workers)):
                if isinstance(answer, RealmnetError):
                    refused[row] = str(answer)
                else:
                    pictures[used] = answer
                    used += 1
                report(row + 1, len(split))
        pictures.flush()
        del pictures
        write_atomically(facts_path, msgspec.json.encode(refused))
        temporary.replace(pictures_path)
    except OSError as error:
        raise cannot_write(pictures_path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _prepared(
    split: Split, spec: PreprocessSpec, workers: int
) -> Iterator[NDArray[np.uint8] | ImageRefused]:
    def one(path: Path) -> NDArray[np.uint8] | ImageRefused:
        try:
            return prepare(read_image(path, model_size=spec.decode_size), spec)
        except ImageRefused as error:
            return type(error)(str(error).replace(str(path), "image").replace(path.name, "image"))

    # OpenCV's own threads would fight with ours
    threads_before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(split), _AT_ONCE):
                yield from pool.map(one, split.paths[start : start + _AT_ONCE])
    finally:
        cv2.setNumThreads(threads_before)
