"""Stopping an engine that takes too long."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from realmnet_runtime.errors import DeadlineExceeded


class TimeLimit:
    """Whether the time of a block has passed."""

    __slots__ = ("passed",)

    def __init__(self) -> None:
        self.passed = False


@contextmanager
def time_limit(seconds: float, stop: Callable[[], object]) -> Iterator[TimeLimit]:
    """Call `stop` from another thread once a block has taken so many seconds.

    Both engines compute without Python's lock, so the other thread gets its turn. It is there only
    for the block, and where the block ends in time `stop` is never called.

    Args:
        seconds: 0 or less stops at once.
        stop: makes what runs in the block fail soon.
    """
    limit = TimeLimit()

    def end() -> None:
        limit.passed = True
        stop()

    timer = threading.Timer(max(0.0, seconds), end)
    timer.daemon = True
    timer.start()
    try:
        yield limit
    finally:
        timer.cancel()
        # `stop` must not reach the next run: it is done with, or will never be called.
        timer.join()


def out_of_time(engine: str) -> DeadlineExceeded:
    """The error for an engine that was stopped."""
    return DeadlineExceeded(
        f"{engine} was stopped: the answer was not there before the deadline; give it more time, "
        f"or take a faster variant or more threads"
    )
