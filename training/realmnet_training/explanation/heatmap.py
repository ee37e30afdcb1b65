"""Evidence laid over a picture: blue where there is some, white where there is most.

A fundus in two-laser colour is red and green with almost no blue, so blue to white is told from
it, and, as it only grows lighter, is read without colour vision too. Where there is no evidence,
the pixels are the camera's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.errors import UsageError
from realmnet_runtime.overlay import BOX
from realmnet_training.explanation.explain import Maps, Opened, stretched
from realmnet_training.explanation.lettering import Line, Picture, stacked, text_strip

_ANCHORS: Final = ((0.0, (30, 60, 255)), (0.6, (60, 190, 255)), (1.0, (255, 255, 255)))
_MOST_OPAQUE: Final = 0.5
_CONTOUR: Final = 0.5
_LEAST_HEIGHT_PX: Final = 640
_LETTERS_PER_WIDTH: Final = 85.0

LEGEND: Final = "Blue to white: least to most evidence within this picture; line: half-way"


def draw_heat(picture: Picture, heat: Maps) -> Picture:
    """Lay evidence over a picture, with a line around where it exceeds half.

    Args:
        picture: (H, W, 3) uint8 RGB; it is not written to.
        heat: (H, W) float32, 0..1.

    Returns:
        (H, W, 3) uint8 RGB; equal to the picture where `heat` is 0, but for the line.

    Raises:
        UsageError: their sizes differ.
    """
    if picture.shape[:2] != heat.shape:
        raise UsageError(f"heat of {heat.shape} pixels on a picture of {picture.shape[:2]}")
    # over- and undershoots would wrap around as bytes
    levels = np.round(np.clip(heat, 0.0, 1.0) * 255.0).astype(np.uint8)
    opacity = (np.float32(_MOST_OPAQUE) / 255.0) * levels.astype(np.float32)
    drawn = np.asarray(
        cv2.blendLinear(picture, _colours()[levels], 1.0 - opacity, opacity), np.uint8
    )
    outlines, _ = cv2.findContours(
        (heat >= _CONTOUR).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    line = max(1, round(picture.shape[0] / 500))
    cv2.drawContours(drawn, outlines, -1, BOX, line, cv2.LINE_AA)
    return drawn


def draw_finding(opened: Opened, cells: Maps, lines: list[Line]) -> Picture:
    """Draw one map over the whole original, with the crop's box and lines of text below.

    Args:
        opened: the picture.
        cells: (h, w) map of the network's square, any scale; stretched to the colours.
        lines: below the picture.

    Returns:
        (H', W', 3) uint8 RGB; the picture enlarged where it is too small to write below.
    """
    height, width = opened.original.shape[:2]
    factor = max(1, -(-_LEAST_HEIGHT_PX // height))
    size = (width * factor, height * factor)
    picture = np.asarray(cv2.resize(opened.original, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    heat = cv2.resize(
        opened.frame.carry(stretched(cells)), size, interpolation=cv2.INTER_LINEAR
    ).astype(np.float32)
    drawn = draw_heat(picture, heat)
    x0, y0, x1, y1 = (side * factor for side in opened.frame.box)
    line = max(1, round(drawn.shape[0] / 700))
    cv2.rectangle(drawn, (x0, y0), (x1 - 1, y1 - 1), BOX, line, cv2.LINE_AA)
    capital = drawn.shape[1] / _LETTERS_PER_WIDTH
    strip = text_strip([*lines, Line(LEGEND, 0.8)], drawn.shape[1], capital)
    return stacked([drawn, strip])


def draw_thumbnail(opened: Opened, cells: Maps | None, side: int) -> Picture:
    """Draw the crop small, with a map or plain.

    Args:
        opened: the picture.
        cells: (h, w) map; None for the picture alone.
        side: of the square the crop is fitted into, pixels.

    Returns:
        (side, side, 3) uint8 RGB, black beside a crop that is no square.
    """
    x0, y0, x1, y1 = opened.frame.box
    longer = max(x1 - x0, y1 - y0)
    columns, rows = (max(1, round(length * side / longer)) for length in (x1 - x0, y1 - y0))
    crop = opened.original[y0:y1, x0:x1]
    shrinks = crop.shape[0] >= rows
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    small = np.asarray(cv2.resize(crop, (columns, rows), interpolation=kind), np.uint8)
    if cells is not None:
        frame = replace(opened.frame, original_size=(rows, columns), box=(0, 0, columns, rows))
        small = draw_heat(small, frame.carry(stretched(cells)))
    whole = np.zeros((side, side, 3), np.uint8)
    top, left = (side - rows) // 2, (side - columns) // 2
    whole[top : top + rows, left : left + columns] = small
    return whole


def _colours() -> NDArray[np.uint8]:
    """(256, 3) uint8: the colour of each level."""
    at = [place for place, _ in _ANCHORS]
    levels = np.linspace(0.0, 1.0, 256)
    channels = [np.interp(levels, at, [colour[c] for _, colour in _ANCHORS]) for c in range(3)]
    return np.stack(channels, axis=1).round().astype(np.uint8)
