"""One process at a time, by a lock the system lets go of when its holder ends, killed or not.

The lock is on an opened file, not the file's presence: nothing is stale after a crash and nothing
need be deleted. `flock` where there is one, the locks of the C runtime on Windows (untested there).
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from realmnet_runtime.errors import OutputError
from realmnet_runtime.files import cannot_write

if sys.platform == "win32":
    import msvcrt

    def _try_to_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_to_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_HELD: Final = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})
_PAUSE_S: Final = 0.05


@contextmanager
def exclusive(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is not there and stays afterwards.

    Args:
        path: the file; nothing is written to it.
        wait_s: seconds to wait for another holder, by a clock that is never set; 0 tries once.

    Raises:
        OutputError: another process, or another thread of this one, kept it for so long, or the
            file cannot be made or locked.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        _wait_for(descriptor, path, wait_s)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while not _is_now_ours(descriptor, path):
        if time.monotonic() >= end:
            raise OutputError(
                f"'{path}' is held by another command, which did not end within {wait_s:g} s; "
                f"nothing was changed: wait for it, or end it, and try again"
            )
        time.sleep(_PAUSE_S)


def _is_now_ours(descriptor: int, path: Path) -> bool:
    try:
        _try_to_lock(descriptor)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise cannot_write(path, error) from error
    return True
