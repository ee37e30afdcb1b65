"""One process at a time: a lock on a file that the system lets go of with the process."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Final, final

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LONGEST_NOTE: Final = 4096
_TAKEN: Final = frozenset({errno.EACCES, errno.EAGAIN, errno.EDEADLK, errno.EWOULDBLOCK})


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
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _TAKEN:
                return False
            raise
        self._descriptor = descriptor
        return True

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


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
