"""The folder of answers: one file for each picture, named by the picture's digest.

A digest names no patient, and whoever has the picture can work it out. Names of files often hold
record numbers, and a digest of so short a thing is found by trying all, so there is no index by
name.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, final

import msgspec

from realmnet_runtime.errors import OutputError, RealmnetError, UsageError
from realmnet_runtime.files import cannot_write, temporary_beside, write_atomically
from realmnet_runtime.locks import FileLock

LOCK_NAME: Final = ".realmnet-watch.lock"
LARGEST_ANSWER_BYTES: Final = 1 << 20

_LEFT_OVER: Final = re.compile(r"\.realmnet-[0-9a-f]{16}\.part")


class _Input(msgspec.Struct, frozen=True):
    sha256: str


class Answered(msgspec.Struct, frozen=True):
    """What matters of an answer that was written before.

    Attributes:
        input: with the picture's digest.
        bundle_sha256: digest of the bundle that answered or refused.
        variant: of that bundle.
    """

    input: _Input
    bundle_sha256: str
    variant: str


@final
class ResultFolder:
    """A folder of answers that one process writes into; a context manager.

    Args:
        path: made where it is not there.
    """

    __slots__ = ("_lock", "_suspect", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / LOCK_NAME)
        self._suspect = ""

    def __enter__(self) -> ResultFolder:
        """Make the folder, lock it, and clear away what a killed process was writing.

        Raises:
            UsageError: another process writes into it.
            OutputError: it cannot be made or written into.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self._lock.acquire():
                raise UsageError(
                    f"another `realmnet watch` writes into '{self.path}'; stop it, or name another "
                    f"folder for results"
                )
        except FileExistsError as error:
            raise OutputError(
                f"cannot write into '{self.path}': it is a file; name a directory"
            ) from error
        except OSError as error:
            raise cannot_write(self.path / LOCK_NAME, error) from error
        try:
            self._suspect = self._lock.read_note().decode("ascii", "replace")
            self._tidy()
        except OSError as error:
            self._lock.release()
            raise cannot_write(self.path / LOCK_NAME, error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def place(self, sha256: str) -> Path:
        """Where the answer to a picture is."""
        return self.path / f"{sha256}.json"

    def find(self, sha256: str) -> Answered | None:
        """The answer to a picture; None where there is none, or none that is whole."""
        place = self.place(sha256)
        try:
            with place.open("rb") as file:
                raw = file.read(LARGEST_ANSWER_BYTES)
            answered = msgspec.json.decode(raw, type=Answered)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return answered if answered.input.sha256 == sha256 else None

    def keep(self, sha256: str, answer: dict[str, Any]) -> None:
        """Write an answer, whole or not at all, so that it survives a power cut.

        Raises:
            OutputError: it could not be written; what was there before is whole.
        """
        write_atomically(self.place(sha256), msgspec.json.encode(answer) + b"\n")

    @contextmanager
    def in_hand(self, sha256: str) -> Iterator[None]:
        """Note which picture is being answered, for who comes after a process that dies of it."""
        self._leave_note(sha256)
        try:
            yield
        except RealmnetError:
            self._leave_note("")
            raise
        self._leave_note("")

    def is_suspect(self, sha256: str) -> bool:
        """Whether the watch before this one died while it answered this picture; told once."""
        if sha256 != self._suspect:
            return False
        self._suspect = ""
        return True

    def require_present(self) -> None:
        """See that this is still the folder that was opened.

        Raises:
            OutputError: it is gone, or another one is in its place.
        """
        if not self._lock.is_in_place():
            raise OutputError(
                f"the folder of results '{self.path}' is gone, or another is in its place; bring "
                f"it back and start again: what was not answered is answered then"
            )

    def _leave_note(self, note: str) -> None:
        # Where there is no room for it, the answer matters more.
        with contextlib.suppress(OSError):
            self._lock.leave_note(note.encode())

    def _tidy(self) -> None:
        for entry in list(os.scandir(self.path)):
            if _LEFT_OVER.fullmatch(entry.name):
                Path(entry.path).unlink(missing_ok=True)
        # Whether anything can be written is better known before the first picture comes.
        probe = temporary_beside(self.path / LOCK_NAME)
        probe.touch(exist_ok=False)
        probe.unlink()
