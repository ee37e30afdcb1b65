"""Progress on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES: Final = 15.0

Report = Callable[[int, int], None]
NotedReport = Callable[[int, int, str], None]


@contextmanager
def reporting(what: str) -> Iterator[Report]:
    """Give a function of (done, total) that shows progress until the block is left.

    Args:
        what: the things counted, for example `pictures`.
    """
    if not on_terminal():
        yield _Lines(what)
        return
    with bar(what) as update:
        yield lambda done, total: update(done, total, "")


def on_terminal() -> bool:
    """Whether stderr is a terminal, which a bar can move on."""
    return sys.stderr.isatty()


@contextmanager
def bar(what: str) -> Iterator[NotedReport]:
    """Give a function of (done, total, note) that moves a bar; other lines appear above it.

    Args:
        what: the things counted; the note follows it.
    """
    described = TextColumn("{task.description}", markup=False)
    columns = (described, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def update(done: int, total: int, note: str) -> None:
            progress.update(task, completed=done, total=total, description=what + note)

        yield update


class _Lines:
    """Prints at the first and last count and no more often than every 15 s between."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._begun = time.monotonic()
        self._last: float | None = None
        self._first_done = 0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._last is None:
            self._begun, self._first_done = now, done
        elif done < total and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        sys.stderr.write(f"{self._what} {done:,} of {total:,}{self._left(done, total, now)}\n")
        sys.stderr.flush()

    def _left(self, done: int, total: int, now: float) -> str:
        made = done - self._first_done
        if not made or done == total:
            return ""
        return f", about {(total - done) * (now - self._begun) / made:.0f} s left"
