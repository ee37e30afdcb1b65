"""One process at a time, by a lock the system lets go of when its holder ends, killed or not.

The lock is on an opened file, not the file's presence: nothing is stale after a crash and nothing
need be deleted. `flock` where there is one, the locks of the C runtime on Windows (untested there).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final

from realmnet_runtime.errors import OutputError
from realmnet_runtime.files import cannot_write

LONGEST_WAIT_S: Final = 10.0

_LONGEST_NOTE: Final = 4096
_PAUSE_S: Final = 0.002
_HELD: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})

if sys.platform == "win32":
    import msvcrt

    # Windows keeps others from reading what is locked: a byte where no file of ours reaches.
    _BEYOND: Final = 1 << 40

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _let_go(descriptor: int) -> None:
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file if nobody has it; whether it was taken.

    Closing the file lets go of it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        _take(descriptor)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


@contextlib.contextmanager
def locked(descriptor: int, path: Path, wait_s: float = LONGEST_WAIT_S) -> Iterator[None]:
    """Hold the lock of an open file, against other processes and other openings in this one.

    Args:
        descriptor: of the file, open for writing; its position may change.
        path: of the file, for the error.
        wait_s: seconds to wait for another holder, by a clock that is never set; 0 tries once.

    Raises:
        OutputError: another held it all that time, or the file system has no locks.
    """
    end = time.monotonic() + wait_s
    while not _is_now_ours(descriptor, path):
        if time.monotonic() >= end:
            raise OutputError(
                f"'{path}' is held by another process, which did not let go within {wait_s:g} s; "
                f"nothing was changed: wait for it, or end it, and try again"
            )
        time.sleep(_PAUSE_S)
    try:
        yield
    finally:
        _let_go(descriptor)


@contextlib.contextmanager
def exclusive(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is not there and stays afterwards.

    Args:
        path: the file; nothing is written to it.
        wait_s: as `locked`.

    Raises:
        OutputError: as `locked`, or the file cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with locked(descriptor, path, wait_s):
            yield
    finally:
        os.close(descriptor)


@final
class FileLock:
    """A lock held by a process until it lets go or ends, however it ends.

    The file is made where it is not there, and stays: to delete it would let two processes hold
    locks on two files of one name. It may hold a short note from one holder to the next.

    Args:
        path: of the file; its directory must exist.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if nobody has it; whether it was taken.

        Raises:
            OSError: the file cannot be made, or its file system has no locks.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        taken = False
        try:
            taken = try_lock(descriptor)
        finally:
            if not taken:
                os.close(descriptor)
        if taken:
            self._descriptor = descriptor
        return taken

    def is_in_place(self) -> bool:
        """Whether the file at the path is still the one that is locked."""
        if self._descriptor is None:
            return False
        try:
            found = self.path.stat()
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._descriptor))

    def read_note(self) -> bytes:
        """What the holder before, or this one, left; empty where the lock is not held."""
        if self._descriptor is None:
            return b""
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        return os.read(self._descriptor, _LONGEST_NOTE)

    def leave_note(self, note: bytes) -> None:
        """Replace the note; it outlives this process, and not always a power cut.

        Raises:
            OSError: it could not be written.
        """
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, note)

    def release(self) -> None:
        """Let go; doing so twice does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _is_now_ours(descriptor: int, path: Path) -> bool:
    try:
        return try_lock(descriptor)
    except OSError as error:
        raise cannot_write(path, error) from error
