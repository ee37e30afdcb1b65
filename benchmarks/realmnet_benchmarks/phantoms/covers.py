"""What lies in front of the retina but inside the window: lids, lashes, reflections, dust."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from realmnet_benchmarks.phantoms.canvas import blurred, draw_curves
from realmnet_benchmarks.phantoms.cases import PhantomCase
from realmnet_benchmarks.phantoms.fields import (
    FloatPlane,
    Points,
    lay_over,
    smooth_field,
    smoothstep,
)
from realmnet_benchmarks.phantoms.streams import stream
from realmnet_benchmarks.phantoms.window import Window

MAXIMUM_COVER: Final = 0.045
"""Largest part of the aperture that lids may hide: a de-bordering method that stops at a lid
instead of the rim behind it must still be able to reach the IoU asked of it."""


def paint_covers(
    case: PhantomCase, window: Window, distance: FloatPlane, red: FloatPlane, green: FloatPlane
) -> None:
    """Paint all covers of a picture onto its planes (H, W) of 0..255, in place."""
    rng = stream(case.seed, "covers", case.eye, case.image)
    if rng.uniform() < 0.55:
        shade = _lashes(rng, window)
        red *= shade
        green *= shade
    _paint_dust(rng, window, red, green)
    chance = 0.6 if case.border == "device" else 0.35
    if rng.uniform() < chance:
        _paint_lid(rng, window, distance, red, green=green, lower=rng.uniform() < 0.65)
    if window.form == "frame" and case.border == "device" and rng.uniform() < 0.6:
        _paint_band(rng, window, distance, red, green)


def _lashes(rng: np.random.Generator, window: Window) -> FloatPlane:
    """(H, W) float32 factor of 0..1: dark soft strokes reaching in from below."""
    scale = min(1.0, 420 / window.height)
    size = (round(window.height * scale), round(window.width * scale))
    groups = []
    for side in (-1.0, 1.0):
        if rng.uniform() < 0.25:
            continue
        count = int(rng.integers(6, 26))
        angle = np.pi / 2 - side * rng.uniform(0.25, 1.0, count)
        start = np.stack([1.04 * np.cos(angle), 1.04 * np.sin(angle)], 1)
        heading = angle + np.pi + side * rng.uniform(-0.2, 0.5) + rng.normal(0, 0.14, count)
        length = rng.uniform(0.12, 0.45, count)
        t = np.linspace(0, 1, 9)
        turn = heading[:, None] + rng.normal(0, 0.4, (count, 1)) * t[None]
        step = (length / 8)[:, None, None]
        walk = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 2) * step, axis=1)
        groups.append(start[:, None] + walk)
    if not groups:
        return np.ones((window.height, window.width), np.float32)
    curves = np.concatenate(groups)
    pixels = curves * [window.half_width * scale, window.half_height * scale]
    pixels += np.array(window.centre) * scale
    count = len(curves)
    thick = rng.uniform(0.005, 0.017, (count, 1)) * np.linspace(1, 0.35, 9)[None]
    layer = draw_curves(
        size,
        pixels.astype(np.float32),
        (thick * window.half_height * scale).astype(np.float32),
        rng.uniform(0.3, 0.95, count).astype(np.float32),
        2,
    )
    layer = blurred(layer, rng.uniform(0.008, 0.018) * window.half_height * scale)
    if scale < 1.0:
        layer = cv2.resize(
            layer, (window.width, window.height), interpolation=cv2.INTER_LINEAR
        ).astype(np.float32, copy=False)
    return np.float32(1.0) - layer


def _paint_lid(
    rng: np.random.Generator,
    window: Window,
    distance: FloatPlane,
    red: FloatPlane,
    *,
    green: FloatPlane,
    lower: bool,
) -> None:
    x, y = window.axes()
    sign = 1.0 if lower else -1.0
    middle, arch = rng.normal(0, 0.25), rng.uniform(0.15, 0.6)
    depth = rng.uniform(0.02, 0.2)
    edge = 1.0 + np.float32(arch) * (x - np.float32(middle)) ** 2
    edge += np.float32(0.01) * np.sin(x * np.float32(rng.uniform(5, 9)))
    below = np.float32(sign) * y - edge
    depth = _allowed(below, distance, depth)
    rows = np.flatnonzero((below + np.float32(depth + 0.03) > 0).any(1))
    if not len(rows):
        return
    part = slice(int(rows[0]), int(rows[-1]) + 1)
    mask = smoothstep(below[part] + np.float32(depth), -0.012, 0.012)
    bright = rng.uniform(0.25, 0.9)
    tone = 1 + np.float32(0.25) * smooth_field(rng, mask.shape[0], mask.shape[1], 3, 8)
    # A dark slit runs along the margin of a lid.
    slit = np.exp(-(((below[part] + np.float32(depth + 0.018)) / np.float32(0.02)) ** 2))
    for plane, value in ((red, 118.0 * bright), (green, 165.0 * bright)):
        plane[part] *= 1 - np.float32(0.75) * slit
        lay_over(plane[part], np.float32(value) * tone, mask)


def _paint_band(
    rng: np.random.Generator,
    window: Window,
    distance: FloatPlane,
    red: FloatPlane,
    green: FloatPlane,
) -> None:
    """A lid seen edge-on: a bright yellow lens along one side, with a crisp inner edge."""
    x, y = window.axes()
    side = float(rng.choice((-1.0, 1.0)))
    lean, height = rng.uniform(0.06, 0.16), rng.uniform(-0.4, 0.0)
    inner = (
        1.0
        + np.float32(lean) * (y - np.float32(height))
        + np.float32(0.28) * (y - np.float32(height)) ** 2
    )
    beyond = np.float32(side) * x - inner
    depth = _allowed(beyond, distance, rng.uniform(0.03, 0.14))
    mask = smoothstep(beyond + np.float32(depth), -0.004, 0.004)
    tone = 1 + np.float32(0.12) * smooth_field(rng, window.height, window.width, 12, 3)
    tone *= np.float32(0.8) + np.float32(0.9) * np.clip(beyond + np.float32(depth), 0, 0.25)
    level = rng.uniform(0.7, 1.05)
    for plane, value in ((red, 185.0), (green, 192.0)):
        lay_over(plane, np.float32(value * level) * tone, mask)


def _allowed(beyond: FloatPlane, distance: FloatPlane, depth: float) -> float:
    """Reduce a depth until the cover hides no more of the aperture than MAXIMUM_COVER."""
    step = max(1, distance.shape[0] // 128)
    inside = distance[::step, ::step] <= 1.0
    sample = beyond[::step, ::step]
    for _ in range(6):
        hidden = np.count_nonzero(inside & (sample + np.float32(depth) > 0))
        if hidden <= 0.5 * MAXIMUM_COVER * np.count_nonzero(inside):
            break
        depth *= 0.7
    return depth


def _paint_dust(
    rng: np.random.Generator, window: Window, red: FloatPlane, green: FloatPlane
) -> None:
    """Bright specks and, now and then, a slanted reflection of the scanner."""
    count = int(rng.integers(0, 7))
    if rng.uniform() < 0.12:
        centre = (rng.uniform(-0.4, 0.4), rng.uniform(-0.5, 0.3))
        shape = (3.0, rng.uniform(-0.4, 0.4))
        _spot(window, red, green, centre=centre, size=0.05, shape=shape, light=150.0)
    for _ in range(count):
        centre = (rng.uniform(-0.7, 0.7), -rng.uniform(0.55, 0.9))
        shape = (rng.uniform(1, 4), rng.uniform(-1, 1))
        size, light = rng.uniform(0.006, 0.016), rng.uniform(20, 90)
        _spot(window, red, green, centre=centre, size=size, shape=shape, light=light)


def _spot(
    window: Window,
    red: FloatPlane,
    green: FloatPlane,
    *,
    centre: tuple[float, float],
    size: float,
    shape: tuple[float, float],
    light: float,
) -> None:
    unit = window.half_height
    x = window.centre[0] + centre[0] * window.half_width
    y = window.centre[1] + centre[1] * window.half_height
    reach = 2.5 * size * unit + 2
    rows = slice(max(0, int(y - reach)), min(window.height, int(y + reach) + 1))
    columns = slice(max(0, int(x - reach)), min(window.width, int(x + reach) + 1))
    dx = ((np.arange(columns.start, columns.stop) - x) / (size * unit))[None]
    dy = ((np.arange(rows.start, rows.stop) - y) / (size * unit))[:, None]
    across = dy - shape[1] * dx
    mask: Points = np.exp(-(dx**2 + (shape[0] * across) ** 2)).astype(np.float32)
    red[rows, columns] += np.float32(0.9 * light) * mask
    green[rows, columns] += np.float32(light) * mask
