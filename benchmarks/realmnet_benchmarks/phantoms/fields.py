"""Smooth random fields and curves: the raw material of pigment, light and outlines."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

FloatPlane = npt.NDArray[np.float32]
BoolPlane = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float32]

TILE = 1024


def smooth_field(
    rng: np.random.Generator, height: int, width: int, rows: int, columns: int
) -> FloatPlane:
    """Draw a smooth random field that is the same at every picture size.

    Args:
        rng: source of the numbers.
        height: rows of the result.
        width: columns of the result.
        rows: independent values from top to bottom, >= 1.
        columns: independent values from left to right, >= 1.

    Returns:
        (height, width) float32 with mean about 0 and standard deviation about 0.75.
    """
    grid = rng.standard_normal((rows + 1, columns + 1), dtype=np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC).astype(
        np.float32, copy=False
    )


@lru_cache(maxsize=1)
def noise_tile() -> FloatPlane:
    """(TILE, TILE) float32 of independent standard normal numbers, the same for ever."""
    rng = np.random.Generator(np.random.PCG64(20_250_807))
    tile = rng.standard_normal((TILE, TILE), dtype=np.float32)
    tile.setflags(write=False)
    return tile


def grain(rng: np.random.Generator, height: int, width: int) -> FloatPlane:
    """Independent noise at pixel scale, cut from one fixed tile because drawing it anew is slow.

    Args:
        rng: chooses where the tile is cut.
        height: rows.
        width: columns.

    Returns:
        (height, width) float32, standard normal. Beyond TILE pixels it repeats, mirrored.
    """
    tile = noise_tile()
    top, left = (int(v) for v in rng.integers(0, TILE // 4, 2))
    if top + height <= TILE and left + width <= TILE:
        return tile[top : top + height, left : left + width]
    below, right = max(0, top + height - TILE), max(0, left + width - TILE)
    repeats = (below // TILE + 2, right // TILE + 2)
    return np.tile(tile, repeats)[top : top + height, left : left + width]


def wobble(rng: np.random.Generator, angles: Points, waves: int, amount: float) -> Points:
    """A smooth periodic factor around one, for outlines that are round but not circles.

    Args:
        rng: source of phases and weights.
        angles: (N,) radians.
        waves: highest number of bulges.
        amount: typical relative deviation.

    Returns:
        (N,) float32, never below 0.2.
    """
    orders = np.arange(1, waves + 1, dtype=np.float32)
    weights = rng.normal(0.0, 1.0, waves) / np.sqrt(orders)
    phases = rng.uniform(0.0, 2 * np.pi, waves)
    sums = (weights[:, None] * np.cos(orders[:, None] * angles[None] + phases[:, None])).sum(0)
    return np.maximum(0.2, 1.0 + amount * sums / np.sqrt(waves)).astype(np.float32)


def smoothstep(values: FloatPlane, low: float, high: float) -> FloatPlane:
    """0 below `low`, 1 above `high`, a smooth cubic between; `low` may exceed `high`."""
    t = np.clip((values - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    return t * t * (np.float32(3.0) - np.float32(2.0) * t)
