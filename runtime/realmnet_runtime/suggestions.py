"""The nearest valid word, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the closest allowed word, or an empty string."""
    words = list(allowed)
    close = difflib.get_close_matches(word, words, n=1)
    if not close and len(word) > 1:
        # A short beginning of a long word is too unlike it for difflib.
        close = [longer for longer in words if longer.startswith(word)]
    return f"; did you mean '{close[0]}'?" if close else ""
