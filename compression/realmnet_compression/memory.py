"""Memory that ran out while a model was compressed, in one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

from realmnet_training.fitting.faults import OutOfMemory

# Engines say it in words only: their exceptions share no type, and some arrive inside one of ours.
_NO_MEMORY: Final = re.compile(
    r"bad_alloc|bad allocation|bad_array_new_length|[Ff]ailed to allocate memory|"
    r"out of memory|[Nn]ot enough memory|[Ii]nsufficient memory|[Cc]an(no|')t allocate memory|"
    r"[Uu]nable to allocate|Arena alloc failed|Failed to serialize proto"
)


def calibrating_within_memory(pictures: int) -> contextlib.AbstractContextManager[None]:
    """`within_memory` for calibration on so many pictures."""
    return within_memory(
        f"calibrating on {pictures} pictures",
        "free some memory, raise the limit it runs under, or use a machine with more",
    )


@contextlib.contextmanager
def within_memory(doing: str, cure: str) -> Iterator[None]:
    """Turn memory that ran out into an error of ours; all others pass through.

    Args:
        doing: what was being done, for example `calibrating on 200 pictures at 384 px`.
        cure: what asks for less.

    Raises:
        OutOfMemory: memory ran out.
    """
    try:
        yield
    except OutOfMemory:
        raise
    except Exception as error:
        if not isinstance(error, MemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        raise OutOfMemory(f"{doing} ran out of memory; {cure}; nothing was written") from error
