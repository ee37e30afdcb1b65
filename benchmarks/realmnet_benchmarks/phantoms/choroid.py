"""Choroidal vessels: bright parallel channels, seen by the red laser only, filling the fundus.

They leave the posterior pole in all directions and gather at four vortex ampullae. How clearly
they show is the strength of tessellation.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from realmnet_benchmarks.phantoms.canvas import (
    HALF_HEIGHT,
    HALF_WIDTH,
    Canvas,
    Sheet,
    blurred,
    draw_curves,
)
from realmnet_benchmarks.phantoms.fields import FloatPlane, Points, enlarged, resized, strips
from realmnet_benchmarks.phantoms.streams import stream

_STEPS: Final = 10
_STEP: Final = 0.05
_LARGEST_PX: Final = 700.0


def vortices(seed: int, eye: str) -> Points:
    """(4, 2) eye units: where the vortex veins leave, one in each quadrant."""
    shared, own = stream(seed, "vortices"), stream(seed, "vortices", eye)
    corners = np.array([[-0.85, -0.6], [0.8, -0.62], [-0.8, 0.68], [0.75, 0.7]], np.float32)
    moved = corners + shared.normal(0, 0.07, (4, 2)) + own.normal(0, 0.03, (4, 2))
    return moved.astype(np.float32)


def channels(seed: int, eye: str, px: float, disc: tuple[float, float]) -> FloatPlane:
    """Draw the channels.

    Args:
        seed: patient's seed.
        eye: "OD" or "OS".
        px: pixels per eye unit of the result.
        disc: centre of the optic disc, eye units.

    Returns:
        Plane of the canvas' shape at that scale, float32 in 0..1.
    """
    rng = stream(seed, "choroid", eye)
    # Channels are soft: beyond this scale finer drawing shows nothing and costs seconds.
    scale = min(1.0, _LARGEST_PX / px)
    draft = Sheet(px * scale)
    starts = _starts(rng)
    curves = _streamlines(rng, starts, vortices(seed, eye), disc)
    count = len(curves)
    order = np.argsort(rng.uniform(size=count))
    size = rng.uniform(0.005, 0.0155, count).astype(np.float32)
    along = np.linspace(-1, 1, curves.shape[1], dtype=np.float32)
    taper = np.float32(1.0) - np.float32(0.55) * np.abs(along) ** np.float32(1.5)
    widths = (size[:, None] * taper[None] * np.float32(draft.px)).astype(np.float32)
    values = rng.uniform(0.55, 1.0, count).astype(np.float32)
    plane = draw_curves(draft.shape, draft.to_px(curves[order]), widths, values, 7)
    plane = blurred(plane, 0.0028 * draft.px)
    if scale < 1.0:
        height, width = Sheet(px).shape
        plane = resized(plane, height, width)
    return np.clip(plane, 0.0, 1.0).astype(np.float32, copy=False)


def visibility(canvas: Canvas, seed: int, eye: str) -> FloatPlane:
    """How well the channels show from place to place: (H, W) float32, 0.12..1."""
    draft = canvas.draft()
    slow = draft.random(stream(seed, "choroid visibility", eye), 0.45)
    x, y = draft.grid()
    # The macula's pigment hides the choroid; below and nasal of the pole it shows best.
    macula = np.exp(-(x**2 + y**2) * np.float32(1 / 0.18**2))
    lean = np.float32(0.1) * np.tanh(y) + np.float32(0.06) * np.tanh(x)
    seen = (np.float32(0.7) + np.float32(0.36) * slow + lean) * (1 - np.float32(0.45) * macula)
    return enlarged(np.clip(seen, 0.12, 1.0).astype(np.float32), *canvas.shape)


def paint_choroid(canvas: Canvas, layer: FloatPlane, seen: FloatPlane, strength: float) -> None:
    """Let the channels show.

    Args:
        canvas: the sheet.
        layer: the channels, (H, W) in 0..1.
        seen: their visibility, (H, W) in 0..1.
        strength: tessellation, 0..1.
    """
    for rows in strips(*canvas.shape):
        clear = seen[rows] * np.float32(strength)
        lit = layer[rows] * clear
        canvas.green[rows] *= np.float32(1.0) - np.float32(0.13) * clear
        # Between the channels the pigment looks darker than in an eye whose choroid is hidden.
        canvas.red[rows] *= np.float32(1.0) - np.float32(0.42) * (clear - lit)
        canvas.red[rows] += np.float32(0.42) * lit


def _starts(rng: np.random.Generator) -> Points:
    spacing = 0.122
    x = np.arange(-HALF_WIDTH, HALF_WIDTH, spacing, dtype=np.float32)
    y = np.arange(-HALF_HEIGHT, HALF_HEIGHT, spacing, dtype=np.float32)
    points = np.stack(np.meshgrid(x, y), 2).reshape(-1, 2)
    return (points + rng.uniform(0, spacing, points.shape)).astype(np.float32)


def _streamlines(
    rng: np.random.Generator, starts: Points, targets: Points, disc: tuple[float, float]
) -> Points:
    grid = rng.normal(0, 0.34, (20, 26)).astype(np.float32)
    centre = np.array(disc, np.float32)
    halves = []
    for direction in (-1.0, 1.0):
        here = starts.copy()
        path = [here]
        for _ in range(_STEPS):
            flow = _flow(here, targets, centre)
            # Close to the pole the channels cross in all directions.
            near = ((here - centre * np.float32(0.4)) ** 2).sum(1)
            turn = _sample(grid, here) * (1 + np.float32(2.2) * np.exp(near * np.float32(-14)))
            cos, sin = np.cos(turn), np.sin(turn)
            flow = np.stack(
                [flow[:, 0] * cos - flow[:, 1] * sin, flow[:, 0] * sin + flow[:, 1] * cos], 1
            )
            here = here + np.float32(direction * _STEP) * flow
            path.append(here)
        halves.append(np.stack(path, 1))
    return np.concatenate([halves[0][:, :0:-1], halves[1]], 1)


def _flow(points: Points, targets: Points, centre: Points) -> Points:
    # Away from the line between fovea and disc: from a point they would form a star.
    nearest = np.clip(points[:, :1] / centre[0], -0.4, 1.1) * centre
    away = points - nearest
    away /= np.linalg.norm(away, axis=1, keepdims=True) + np.float32(0.1)
    to = targets[None] - points[:, None]
    near = np.float32(0.16) / ((to**2).sum(2, keepdims=True) + 0.07)
    flow = away + (to * near).sum(1)
    unit: Points = flow / (np.linalg.norm(flow, axis=1, keepdims=True) + np.float32(1e-3))
    return unit


def _sample(grid: Points, points: Points) -> Points:
    rows, columns = grid.shape
    u = (points[:, 0] / (2 * HALF_WIDTH * 1.4) + 0.5) * (columns - 1)
    v = (points[:, 1] / (2 * HALF_HEIGHT * 1.4) + 0.5) * (rows - 1)
    turns = cv2.remap(
        grid,
        u.astype(np.float32).reshape(1, -1),
        v.astype(np.float32).reshape(1, -1),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    return turns.astype(np.float32, copy=False).reshape(-1)
