"""One page a label: what was found rightly, found wrongly and missed, most confident first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from realmnet_runtime.drawing.lettering import Line, Picture, padded, stacked, text_strip
from realmnet_runtime.drawing.overlay import BACKGROUND, FOUND, QUIET
from realmnet_training.explanation.findings import OUTCOMES, Outcome
from realmnet_training.explanation.heatmap import LEGEND

THUMBNAIL_PX: Final = 220
_ACROSS: Final = 6
_GAP_PX: Final = 12
_CAPITAL_PX: Final = 11.0


@dataclass(frozen=True, eq=False)
class Tile:
    """One finding on a sheet.

    Attributes:
        panels: pictures of one size: plain, then a map a method.
        lines: below them; table and line, never a file's name.
    """

    panels: Sequence[Picture]
    lines: Sequence[str]


def draw_sheet(
    title: str,
    notices: Sequence[str],
    tiles: Mapping[Outcome, Sequence[Tile]],
    counts: Mapping[Outcome, int],
) -> Picture:
    """Lay the tiles of one label out, outcome by outcome.

    Args:
        title: the label and the table.
        notices: what must be said beside the pictures.
        tiles: by outcome, in order.
        counts: by outcome, how many there are in the whole table.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    width = _ACROSS * THUMBNAIL_PX + (_ACROSS + 1) * _GAP_PX
    head = [Line(title, 1.6), *(Line(text, 1.1, FOUND) for text in notices), Line(LEGEND)]
    parts = [text_strip(head, width, _CAPITAL_PX)]
    for outcome in OUTCOMES:
        shown = tiles[outcome]
        heading = f"{outcome.capitalize()}s: {counts[outcome]:,}"
        if counts[outcome]:
            heading += f", of which {len(shown):,} shown, most confident first"
        parts.append(text_strip([Line(heading, 1.3)], width, _CAPITAL_PX))
        parts += _rows([_drawn(tile) for tile in shown], width)
    return stacked(parts)


def _drawn(tile: Tile) -> Picture:
    gap = np.full((tile.panels[0].shape[0], _GAP_PX // 2, 3), BACKGROUND, np.uint8)
    between = [part for panel in tile.panels for part in (panel, gap)][:-1]
    pictures: Picture = np.concatenate(between, axis=1)
    lines = [Line(text, 1.0, QUIET) for text in tile.lines]
    return stacked([pictures, text_strip(lines, pictures.shape[1], _CAPITAL_PX)])


def _rows(tiles: Sequence[Picture], width: int) -> list[Picture]:
    if not tiles:
        return []
    across = max(1, (width - _GAP_PX) // (tiles[0].shape[1] + _GAP_PX))
    rows = []
    for start in range(0, len(tiles), across):
        row = tiles[start : start + across]
        height = max(tile.shape[0] for tile in row)
        whole = padded(row[0][:0], height + _GAP_PX, width)
        left = _GAP_PX
        for tile in row:
            whole[: tile.shape[0], left : left + tile.shape[1]] = tile
            left += tile.shape[1] + _GAP_PX
        rows.append(whole)
    return rows
