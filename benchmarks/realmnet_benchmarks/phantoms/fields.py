"""Smooth random fields and curves: the raw material of pigment, light and outlines."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

# float32 throughout. numpy's stubs widen `float32 scalar * float32 array` to float64 under some
# type checkers, so the alias promises only what all of them can follow.
FloatPlane = npt.NDArray[np.floating[Any]]
BoolPlane = npt.NDArray[np.bool_]
Points = npt.NDArray[np.floating[Any]]

TILE = 1024
_LARGE = 1024
_STRIP_PIXELS = 2**18


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
    # Two steps where the picture is large: cubic to an eighth, then linear, which is as smooth to
    # the eye and three times as fast.
    if height > _LARGE and rows <= height // 32:
        grid = resized(grid, height // 8, width // 8)
        return enlarged(grid, height, width)
    return resized(grid, height, width)


def enlarged(plane: FloatPlane, height: int, width: int) -> FloatPlane:
    """Enlarge a smooth plane linearly; the plane itself where nothing is to be done."""
    if plane.shape == (height, width):
        return plane
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR).astype(
        np.float32, copy=False
    )


def resized(plane: FloatPlane, height: int, width: int) -> FloatPlane:
    """Resize a float32 plane: by area where it shrinks, cubic where it grows."""
    method = cv2.INTER_AREA if height < plane.shape[0] else cv2.INTER_CUBIC
    return cv2.resize(plane, (width, height), interpolation=method).astype(np.float32, copy=False)


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
    tiled: FloatPlane = np.tile(tile, repeats)
    return tiled[top : top + height, left : left + width]


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
    factor: Points = np.maximum(0.2, 1.0 + amount * sums / np.sqrt(waves)).astype(np.float32)
    return factor


def strips(height: int, width: int) -> Iterator[slice]:
    """Rows of a plane in strips that fit a processor's cache: large planes are then 3 x faster."""
    rows = max(16, _STRIP_PIXELS // width)
    for start in range(0, height, rows):
        yield slice(start, min(height, start + rows))


def lay_over(plane: FloatPlane, value: FloatPlane | float, cover: FloatPlane) -> None:
    """Replace a plane by a value in proportion to a cover of 0..1, in place."""
    plane += (value - plane) * cover


def smoothstep(values: FloatPlane, low: float, high: float) -> FloatPlane:
    """0 below `low`, 1 above `high`, a smooth cubic between; `low` may exceed `high`."""
    t: FloatPlane = np.clip((values - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    step: FloatPlane = t * t * (np.float32(3.0) - np.float32(2.0) * t)
    return step
