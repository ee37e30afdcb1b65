"""Boxes in a picture, and the same boxes in another size of it."""

from __future__ import annotations

from typing import TypeAlias

Box: TypeAlias = tuple[int, int, int, int]
"""(x0, y0, x1, y1) in whole pixels, half-open: x1 and y1 are the first beyond it."""


def scale_box(box: Box, old: tuple[int, int], new: tuple[int, int]) -> Box:
    """A box of one size of a picture in the pixels of another size of it.

    Args:
        box: not empty, inside the old size.
        old: (height, width) the box belongs to, at least 1 each.
        new: (height, width) of the answer, at least 1 each.

    Returns:
        Each side at the nearest pixel; where both would meet, the one pixel that holds the first.
    """
    x0, x1 = _scale_span(box[0], box[2], old[1], new[1])
    y0, y1 = _scale_span(box[1], box[3], old[0], new[0])
    return x0, y0, x1, y1


def _scale_span(low: int, high: int, old: int, new: int) -> tuple[int, int]:
    start, stop = round(low * new / old), round(high * new / old)
    if start < stop:
        return start, stop
    start = min(low * new // old, new - 1)
    return start, start + 1
