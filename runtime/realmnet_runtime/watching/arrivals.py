"""Which files of a folder have come to rest.

A camera writes a picture in pieces, and nothing tells when it is done. So a file is looked at
until its size and its time of change have stayed the same for a while; what it holds then may
still not be whole, which only decoding tells, and then it is looked at again later.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from realmnet_runtime.pictures.images import SUFFIXES
from realmnet_runtime.watching.settings import WatchSettings

LONGEST_RETRY_SECONDS: Final = 30.0

Mark = tuple[int, int, int]
"""Size, time of change in nanoseconds, and number of a file: equal as long as nothing changed.
The time is compared with itself only, so it may lie in the future."""


@dataclass(slots=True)
class _Sight:
    """What is known of one file.

    Attributes:
        mark: as last seen.
        since: when this mark was first seen, monotonic.
        due: when to read it, monotonic; None where that is done.
        tries: how often it was read in vain.
    """

    mark: Mark
    since: float
    due: float | None
    tries: int = 0


@final
class Arrivals:
    """The pictures of a folder and when each is to be read.

    Args:
        folder: that the camera writes into.
        settings: times, and whether subfolders count.
        clock: seconds that only grow.
    """

    __slots__ = ("_clock", "_settings", "_sights", "folder")

    def __init__(
        self,
        folder: Path,
        settings: WatchSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self._settings = settings
        self._clock = clock
        self._sights: dict[Path, _Sight] = {}

    def scan(self) -> list[Path]:
        """Look at every picture once.

        Returns:
            Those at rest that are due to be read, the one that waits longest first.

        Raises:
            OSError: the folder cannot be read; what is known of its files is kept.
        """
        found = dict(self._marks())
        now = self._clock()
        for path in self._sights.keys() - found.keys():
            del self._sights[path]
        for path, mark in found.items():
            known = self._sights.get(path)
            if known is None or known.mark != mark:
                due = now + self._settings.settle_seconds
                self._sights[path] = _Sight(mark, since=now, due=due)
        waiting = [
            (sight.due, path)
            for path, sight in self._sights.items()
            if sight.due is not None and sight.due <= now
        ]
        return [path for _, path in sorted(waiting)]

    def is_at_rest(self, path: Path) -> bool:
        """Whether a file is still as it was when it was last looked at."""
        known = self._sights.get(path)
        return known is not None and known.mark == _mark(path)

    def put_off(self, path: Path) -> bool:
        """Note that a file was read in vain, to be read again later.

        Returns:
            Whether it will be; False where patience has come to its end.
        """
        sight = self._sights[path]
        now = self._clock()
        end = sight.since + self._settings.patience_seconds
        if now >= end:
            return False
        pause = max(self._settings.settle_seconds, self._settings.interval_seconds)
        # Up to a shift that no longer matters: a long patience would overflow a float.
        pause = min(pause * 2 ** min(sight.tries, 16), LONGEST_RETRY_SECONDS)
        sight.due = min(now + pause, end)
        sight.tries += 1
        return True

    def put_off_for_ever(self, path: Path) -> None:
        """As `put_off`, for a file that cannot be read at all and so has no digest to refuse."""
        sight = self._sights[path]
        sight.due = self._clock() + LONGEST_RETRY_SECONDS
        sight.tries += 1

    def set_back(self, path: Path) -> float:
        """Let the others that wait be read before this one.

        Returns:
            Seconds until it is due.
        """
        pause = 10 * (self._settings.settle_seconds + self._settings.interval_seconds)
        self._sights[path].due = self._clock() + pause
        return pause

    def tries(self, path: Path) -> int:
        """How often a file was read in vain since it last changed."""
        return self._sights[path].tries

    def done(self, path: Path) -> None:
        """Note that a file needs no more reading until it changes."""
        if sight := self._sights.get(path):
            sight.due = None

    def _marks(self) -> Iterator[tuple[Path, Mark]]:
        pending = [self.folder]
        while pending:
            folder = pending.pop()
            try:
                entries = os.scandir(folder)
            except OSError:
                # A subfolder may go, or be closed to us, at any time; the folder itself may not.
                if folder == self.folder:
                    raise
                continue
            with entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    path = folder / entry.name
                    if self._settings.subfolders and entry.is_dir(follow_symlinks=False):
                        pending.append(path)
                    elif path.suffix.lower() in SUFFIXES and (mark := _mark(path)):
                        yield path, mark


def _mark(path: Path) -> Mark | None:
    """None where it is no regular file, or no longer there.

    Not from the directory's own entry: on Windows that lags behind a file that is being written.
    """
    try:
        state = path.stat()
    except OSError:
        return None
    if not stat.S_ISREG(state.st_mode):
        return None
    return state.st_size, state.st_mtime_ns, state.st_ino
