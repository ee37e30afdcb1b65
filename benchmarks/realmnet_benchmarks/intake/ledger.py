"""Which pictures of a prepared set are finished: one JSON line each, in the order they were made.

A line is only ever added, after its picture is whole on disk. So a run that is broken off loses at
most the lines that were not yet on disk, and a torn last line, and makes those pictures again. The
ledger lies beside the pictures and holds their names: it is as personal as the tables.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import msgspec

from realmnet_runtime.files import cannot_write, sha256_of


class Finished(msgspec.Struct, frozen=True):
    """A picture that was prepared.

    Attributes:
        name: of the prepared file.
        source_bytes: length of the file it was made from.
        source_mtime_ns: time of that file's last change, nanoseconds.
        sha256: of the prepared file.
        upsampled: whether a side of the cropped original was shorter than the prepared one.
    """

    name: str
    source_bytes: int
    source_mtime_ns: int
    sha256: str
    upsampled: bool

    def holds(self, folder: Path, source: Path) -> bool:
        """Whether the prepared file is there, whole, and made from this very file."""
        try:
            status = source.stat()
            return (status.st_size, status.st_mtime_ns) == (
                self.source_bytes,
                self.source_mtime_ns,
            ) and sha256_of(folder / self.name) == self.sha256
        except OSError:
            return False


class Ledger:
    """A ledger opened for adding; `open_ledger` makes one."""

    def __init__(self, path: Path, file: FileIO, finished: dict[str, Finished]) -> None:
        self._path = path
        self._file = file
        self._finished = finished

    def get(self, name: str) -> Finished | None:
        """The last line of a prepared file."""
        return self._finished.get(name)

    def add(self, finished: Finished) -> None:
        """Write one line.

        Raises:
            OutputError: it could not be written.
        """
        try:
            line = msgspec.json.encode(finished) + b"\n"
            if self._file.write(line) != len(line):
                # The system took a part and reports the full disk only at the next write.
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise cannot_write(self._path, error) from error
        self._finished[finished.name] = finished


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Read what is there and open it for adding.

    Raises:
        OutputError: it cannot be read or written.
    """
    try:
        before = path.read_bytes() if path.exists() else b""
        # Unbuffered: what could not be written is not tried again when the file is closed.
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise cannot_write(path, error) from error
    with file:
        if before and not before.endswith(b"\n"):
            file.write(b"\n")
        yield Ledger(path, file, dict(_lines(before)))


def _lines(text: bytes) -> Iterator[tuple[str, Finished]]:
    for line in text.splitlines():
        try:
            finished = msgspec.json.decode(line, type=Finished)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        yield finished.name, finished
