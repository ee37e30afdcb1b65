"""A contact sheet: the true, the network's and the classical outline on the same pictures."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_training.boundary.annotations import Annotations
from realmnet_training.boundary.evaluate import classical_mask
from realmnet_training.boundary.network import BoundaryNetwork, boundary_mask

Colour = tuple[int, int, int]

TRUTH: Final[Colour] = (255, 255, 255)
NETWORK: Final[Colour] = (64, 200, 255)
CLASSICAL: Final[Colour] = (255, 120, 220)

_TILE: Final = (320, 400)
_COLUMNS: Final = 3
_LEGEND: Final = 28
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX


def contact_sheet(
    network: BoundaryNetwork, table: Annotations, most: int = 12
) -> NDArray[np.uint8]:
    """Draw the outlines of up to `most` pictures, evenly from the table; no name is written.

    Args:
        network: trained.
        table: at least one picture.
        most: pictures on the sheet.

    Returns:
        (H, W, 3) uint8 RGB; white the truth, blue the network, pink the classical mask.

    Raises:
        MissingPath, UnreadableImage: of the first picture or mask that cannot be used.
    """
    count = min(most, len(table))
    rows = np.linspace(0, len(table) - 1, count).round().astype(int)
    tiles = [_tile(network, table, int(row)) for row in rows]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    lines = [
        np.concatenate(tiles[start : start + _COLUMNS], axis=1)
        for start in range(0, len(tiles), _COLUMNS)
    ]
    return np.concatenate([_legend(lines[0].shape[1], table), *lines], axis=0)


def _tile(network: BoundaryNetwork, table: Annotations, row: int) -> NDArray[np.uint8]:
    picture, truth = table.read(row)
    height, width = _TILE
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    tile = np.ascontiguousarray(resized, np.uint8)
    masks = ((truth, TRUTH), (boundary_mask(network, picture), NETWORK))
    classical = classical_mask(picture)
    for mask, colour in (*masks, *(() if classical is None else ((classical, CLASSICAL),))):
        small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(small, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, outlines, -1, colour, 1)
    return tile


def _legend(width: int, table: Annotations) -> NDArray[np.uint8]:
    strip = np.zeros((_LEGEND, width, 3), np.uint8)
    what = "synthetic phantoms" if table.synthetic else "annotated pictures"
    x = 8
    for text, colour in (
        (f"{what}:", TRUTH),
        ("truth", TRUTH),
        ("network", NETWORK),
        ("classical", CLASSICAL),
    ):
        cv2.putText(strip, text, (x, 19), _FONT, 0.5, colour, 1, cv2.LINE_AA)
        (advance, _), _ = cv2.getTextSize(text, _FONT, 0.5, 1)
        x += advance + 16
    return strip
