"""Signs of the periphery: lattice, holes and tears, detachment, scars of laser treatment.

They are no labels of PSMM. Painted in a share of the pictures they distract, as in life.
"""

from __future__ import annotations

import cv2
import numpy as np

from realmnet_benchmarks.phantoms.canvas import Canvas, blurred, draw_curves
from realmnet_benchmarks.phantoms.fields import smooth_field, smoothstep
from realmnet_benchmarks.phantoms.fundus import outline


def paint_lattice(canvas: Canvas, rng: np.random.Generator) -> None:
    """Lattice degeneration: spindle-shaped bands along the equator with white lines and pigment."""
    for _ in range(int(rng.integers(1, 4))):
        centre, angle = _place(rng, 0.68, 0.95)
        length, width = rng.uniform(0.12, 0.26), rng.uniform(0.02, 0.045)
        window = canvas.crop(centre, 1.2 * length)
        t = np.linspace(0, 2 * np.pi, 60, dtype=np.float32)
        along, across = length * np.cos(t), width * np.sin(t) * (1 + 0.3 * np.cos(3 * t))
        direction = angle + np.pi / 2
        shape = _turned(along, across, direction) + np.array(centre, np.float32)
        mask = canvas.shape_mask(window, shape.astype(np.float32), 0.006)
        rows, columns = window
        size = (rows.stop - rows.start, columns.stop - columns.start)
        if min(size) < 4:
            continue
        lines = 14
        s = np.sort(rng.uniform(-length, length, lines))
        lean = rng.uniform(-0.03, 0.03, lines)
        ends = np.stack(
            [
                _turned(s - lean, np.full(lines, -width), direction),
                _turned(s + lean, np.full(lines, width), direction),
            ],
            1,
        ) + np.array(centre, np.float32)
        corner = np.array([columns.start, rows.start], np.float32)
        white = draw_curves(
            size,
            (canvas.to_px(ends.astype(np.float32)) - corner).astype(np.float32),
            np.full((lines, 2), 0.006 * canvas.px, np.float32),
            np.full(lines, 0.9, np.float32),
            1,
        )
        canvas.shade(window, mask, -0.28, -0.3)
        canvas.blend(window, white * mask * np.float32(0.5), 0.6, 0.62)
        specks = smoothstep(smooth_field(rng, *size, 30, 30), 0.9, 1.3) * mask
        canvas.shade(window, specks, -0.6, -0.6)
        canvas.mark("LDoCRT", window, mask)


def paint_hole(canvas: Canvas, rng: np.random.Generator) -> None:
    """Round holes and horseshoe tears: red-brown openings with a pale edge."""
    for _ in range(int(rng.integers(1, 4))):
        centre, angle = _place(rng, 0.62, 0.9)
        size = rng.uniform(0.014, 0.04)
        window = canvas.crop(centre, 4 * size)
        opening = outline(rng, centre, size, 0.12, 4)
        cuff = canvas.shape_mask(window, outline(rng, centre, 1.9 * size, 0.15, 5), 0.008)
        core = canvas.shape_mask(window, opening, 0.003)
        canvas.blend(window, cuff * np.float32(0.45), 0.5, 0.62)
        if rng.uniform() < 0.5:  # the flap of a horseshoe tear covers part of the opening
            shift = np.array([np.cos(angle), np.sin(angle)], np.float32) * np.float32(-0.6 * size)
            flap = canvas.shape_mask(window, (opening + shift).astype(np.float32), 0.003)
            canvas.blend(window, flap * np.float32(0.6), 0.55, 0.66)
            core = core * (1 - flap)
        canvas.blend(window, core * np.float32(0.85), 0.42, 0.13)
        canvas.mark("HoT", window, cuff)


def paint_detachment(canvas: Canvas, rng: np.random.Generator) -> None:
    """Detachment: a large grey-green bulge with folds whose lower parts lie in shadow."""
    centre, _ = _place(rng, 0.72, 0.92)
    reach = rng.uniform(0.3, 0.55)
    window = canvas.crop(centre, 1.5 * reach)
    mask = canvas.shape_mask(window, outline(rng, centre, reach, 0.18, 5), 0.02)
    rows, columns = window
    size = (rows.stop - rows.start, columns.stop - columns.start)
    if min(size) < 4:
        return
    slow = smooth_field(rng, *size, 5, 5)
    direction = rng.uniform(0, np.pi)
    radius, angle = canvas.polar(window, centre)
    ramp = radius * np.cos(angle - np.float32(direction)) * np.float32(rng.uniform(28, 45))
    folds = np.sin(ramp + np.float32(2.2) * slow).astype(np.float32)
    veil = mask * np.float32(rng.uniform(0.5, 0.8))
    grey = np.float32(0.44) + np.float32(0.075) * folds
    canvas.blend(window, veil, np.float32(0.86) * grey, np.float32(1.08) * grey)
    edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    canvas.shade(window, blurred(edge.astype(np.float32), 0.012 * canvas.px), -0.4, -0.35)
    canvas.mark("RRD", window, mask)


def paint_scars(canvas: Canvas, rng: np.random.Generator) -> None:
    """Scars of laser treatment: rows of pale spots, many with a dark pigment centre."""
    middle = rng.uniform(0, 2 * np.pi)
    span = rng.uniform(0.4, 1.6)
    for row in range(int(rng.integers(2, 6))):
        distance = 0.6 + 0.075 * row + rng.normal(0, 0.01)
        for theta in np.arange(middle - span / 2, middle + span / 2, 0.085 / distance):
            if rng.uniform() < 0.25:
                continue
            r = distance + rng.normal(0, 0.013)
            turn = theta + rng.normal(0, 0.015)
            centre = (float(1.2 * r * np.cos(turn)), float(r * np.sin(turn)))
            size = float(rng.uniform(0.013, 0.026))
            pigment = float(rng.uniform(0.1, 0.55))
            window = canvas.crop(centre, 1.6 * size)
            if window[0].start >= window[0].stop or window[1].start >= window[1].stop:
                continue
            radius, _ = canvas.polar(window, centre, float(rng.uniform(0.8, 1.25)))
            spot = smoothstep(radius, 1.15 * size, 0.75 * size)
            canvas.blend(window, spot * np.float32(0.45), 0.6, 0.64)
            if rng.uniform() < 0.45:
                core = smoothstep(radius, pigment * size + 0.006, pigment * size)
                canvas.shade(window, core, -0.7, -0.65)
            canvas.mark("PC", window, spot)


def _place(rng: np.random.Generator, low: float, high: float) -> tuple[tuple[float, float], float]:
    angle, distance = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(low, high))
    return (1.15 * distance * np.cos(angle), 0.92 * distance * np.sin(angle)), angle


def _turned(along: np.ndarray, across: np.ndarray, direction: float) -> np.ndarray:
    cos, sin = np.cos(direction), np.sin(direction)
    return np.stack([along * cos - across * sin, along * sin + across * cos], 1)
