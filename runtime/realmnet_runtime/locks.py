"""One process at a time: a lock on an open file that the system lets go of with the process."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from realmnet_runtime.errors import OutputError
from realmnet_runtime.files import cannot_write

LONGEST_WAIT_SECONDS: Final = 10.0

_PAUSE_SECONDS: Final = 0.002
_HELD: Final = frozenset({errno.EAGAIN, errno.EACCES, errno.EDEADLK})

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


@contextlib.contextmanager
def locked(
    descriptor: int, path: Path, longest_wait: float = LONGEST_WAIT_SECONDS
) -> Iterator[None]:
    """Hold the lock of an open file, against other processes and other openings in this one.

    Args:
        descriptor: of the file, open for writing; its position may change.
        path: of the file, for the error.
        longest_wait: seconds after which another holder is complained of.

    Raises:
        OutputError: another held it all that time, or the file system has no locks.
    """
    end = time.monotonic() + longest_wait
    while True:
        try:
            _take(descriptor)
            break
        except OSError as error:
            if error.errno not in _HELD:
                raise cannot_write(path, error) from error
            if time.monotonic() >= end:
                raise OutputError(
                    f"cannot write '{path}': another process has held it for {longest_wait:.0f} s; "
                    f"end that process, or give each its own file"
                ) from error
            time.sleep(_PAUSE_SECONDS)
    try:
        yield
    finally:
        _let_go(descriptor)
