"""Appearances that imitate a sign and are none: what keeps a network from reaching 100 %."""

from __future__ import annotations

import numpy as np

from realmnet_benchmarks.phantoms.canvas import Canvas
from realmnet_benchmarks.phantoms.fields import smoothstep
from realmnet_benchmarks.phantoms.fundus import FOVEA, Disc, outline


def paint_arc_shadow(canvas: Canvas, rng: np.random.Generator, disc: Disc) -> None:
    """A curved shadow about the pole, like a staphyloma's edge, but no vessel bends at it."""
    centre = (disc.centre[0] * rng.uniform(0, 1.2), float(rng.normal(0, 0.12)))
    size, width = rng.uniform(0.3, 0.75), rng.uniform(0.025, 0.08)
    window = canvas.crop(centre, size + 4 * width)
    radius, angle = canvas.polar(window, centre, float(rng.uniform(0.8, 1.3)))
    start, span = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.95)
    arc = smoothstep(np.cos(angle - np.float32(start)), np.cos(np.pi * span), 0.9)
    wander = size + 0.06 * np.cos(2 * angle + start) + 0.04 * np.cos(3 * angle - start)
    ring = np.exp(-(((radius - wander) / np.float32(width)) ** 2)).astype(np.float32)
    depth = rng.uniform(0.15, 0.45)
    canvas.shade(window, ring * arc, -depth * 0.8, -depth)
    inside = smoothstep((radius - wander).astype(np.float32), 0.05, -0.1)
    canvas.shade(window, inside, float(rng.normal(0, 0.05)), float(rng.normal(0, 0.05)))


def paint_drusen(canvas: Canvas, rng: np.random.Generator) -> None:
    """Small pale dots about the macula."""
    for _ in range(int(rng.integers(8, 30))):
        centre = (float(rng.normal(0, 0.2)), float(rng.normal(0, 0.14)))
        size = float(rng.uniform(0.005, 0.014))
        window = canvas.crop(centre, 2 * size)
        radius, _ = canvas.polar(window, centre)
        canvas.blend(
            window, smoothstep(radius, 1.3 * size, 0.6 * size) * np.float32(0.4), 0.62, 0.58
        )


def paint_bright_pole(canvas: Canvas, rng: np.random.Generator) -> None:
    """The pole merely lit more brightly: a gain, where diffuse atrophy is a veil."""
    centre = (float(rng.uniform(-0.1, 0.3)), float(rng.normal(0, 0.08)))
    reach = float(rng.uniform(0.3, 0.6))
    window = canvas.crop(centre, 2 * reach)
    radius, _ = canvas.polar(window, centre)
    glow = np.exp(-(radius**2) / np.float32(reach**2))
    gain = float(rng.uniform(0.1, 0.45))
    canvas.shade(window, glow, gain, gain * float(rng.uniform(0.8, 1.2)))


def paint_macular_pigment(canvas: Canvas, rng: np.random.Generator) -> None:
    """A dark spot or ring at the fovea without the pale disc of macular atrophy."""
    size = float(rng.uniform(0.04, 0.12))
    window = canvas.crop(FOVEA, 2 * size)
    mask = canvas.shape_mask(window, outline(rng, FOVEA, size, 0.18, 7), 0.012)
    if rng.uniform() < 0.5:
        mask = mask * (1 - canvas.shape_mask(window, outline(rng, FOVEA, 0.7 * size, 0.1), 0.012))
    canvas.shade(window, mask, -float(rng.uniform(0.2, 0.5)), -float(rng.uniform(0.2, 0.5)))


def paint_floater(canvas: Canvas, rng: np.random.Generator) -> None:
    """A soft dark cloud in the vitreous."""
    centre = (float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.5, 0.6)))
    size = float(rng.uniform(0.06, 0.2))
    window = canvas.crop(centre, 2.2 * size)
    mask = canvas.shape_mask(window, outline(rng, centre, size, 0.35, 5, tilt=1.4), 0.35 * size)
    canvas.shade(window, mask, -float(rng.uniform(0.2, 0.6)), -float(rng.uniform(0.1, 0.5)))


def paint_nevus(canvas: Canvas, rng: np.random.Generator) -> None:
    """A flat dark spot of the choroid, seen by the red laser."""
    centre = (float(rng.uniform(-0.7, 0.7)), float(rng.uniform(-0.5, 0.5)))
    size = float(rng.uniform(0.04, 0.1))
    window = canvas.crop(centre, 2 * size)
    mask = canvas.shape_mask(window, outline(rng, centre, size, 0.1), 0.014)
    canvas.shade(window, mask, -float(rng.uniform(0.35, 0.6)), -0.12)


def paint_reflex(canvas: Canvas, rng: np.random.Generator) -> None:
    """Streaks of green light from the inner surface of a young retina."""
    for _ in range(int(rng.integers(1, 4))):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.5)
        centre = (float(distance * np.cos(angle)), float(0.8 * distance * np.sin(angle)))
        reach = float(rng.uniform(0.06, 0.16))
        window = canvas.crop(centre, 2 * reach)
        mask = canvas.shape_mask(
            window,
            outline(rng, centre, reach, 0.3, 6, tilt=float(rng.uniform(0.3, 3))),
            0.3 * reach,
        )
        canvas.shade(window, mask, 0.05, float(rng.uniform(0.15, 0.5)))


def paint_pale_halo(canvas: Canvas, rng: np.random.Generator, disc: Disc) -> None:
    """A pale ring around the disc, as in eyes without any other change."""
    window = canvas.crop(disc.centre, 4 * disc.radius)
    size = disc.radius * float(rng.uniform(1.3, 2.0))
    mask = canvas.shape_mask(window, outline(rng, disc.centre, size, 0.12, 6), 0.012)
    canvas.blend(window, mask * np.float32(rng.uniform(0.15, 0.5)), 0.68, 0.56)
