"""Evidence laid over a picture: blue where there is least, white where there is most.

Two methods are shown beside one another here, each on a scale of its own, so a map is stretched to
the colours picture by picture. The runtime's heat maps have one fixed scale.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from realmnet_runtime.drawing.heat_overlay import draw_heat
from realmnet_runtime.drawing.lettering import Line, Picture, stacked, text_strip
from realmnet_runtime.drawing.overlay import BOX, enlarged
from realmnet_training.explanation.explain import Maps, Opened, stretched

_LETTERS_PER_WIDTH: Final = 85.0
# A stretched map is above 0 nearly everywhere; the runtime's opacity would hide the picture.
_OPACITIES: Final = np.linspace(0.0, 0.5, 256, dtype=np.float32)

LEGEND: Final = "Blue to white: least to most evidence within this picture; line: half-way"


def draw_finding(opened: Opened, cells: Maps, lines: list[Line]) -> Picture:
    """Draw one map over the whole original, with the crop's box and lines of text below.

    Args:
        opened: the picture.
        cells: (h, w) map of the network's square, any scale; stretched to the colours.
        lines: below the picture.

    Returns:
        (H', W', 3) uint8 RGB; the picture enlarged where it is too small to write below.
    """
    picture, factor = enlarged(opened.original)
    size = (picture.shape[0], picture.shape[1])
    drawn = draw_heat(picture, opened.frame.carry(stretched(cells), size), _OPACITIES)
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
        small = draw_heat(small, frame.carry(stretched(cells)), _OPACITIES)
    whole = np.zeros((side, side, 3), np.uint8)
    top, left = (side - rows) // 2, (side - columns) // 2
    whole[top : top + rows, left : left + columns] = small
    return whole
