"""How many threads an engine computes with where nobody says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_MOST: Final = 4
_SIBLINGS: Final = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"


def default_threads() -> int:
    """Physical cores this process may use, at most 4.

    Two hardware threads of one core share its arithmetic units, so a second one only adds
    waiting; beyond four the rest is left to the camera's own software.
    """
    return max(1, min(_MOST, _physical_cores()))


def _physical_cores() -> int:
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    processors = os.sched_getaffinity(0)
    # Where the kernel does not tell which processors share a core, each counts as its own.
    return len({_siblings(processor) for processor in processors})


def _siblings(processor: int) -> str:
    try:
        return Path(_SIBLINGS.format(processor)).read_text(encoding="ascii").strip()
    except OSError:
        return str(processor)
