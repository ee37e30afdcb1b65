"""Posterior staphyloma (PS): an outpouching of the back of the eye.

Seen from the front: an irregular oval edge, in part a bright reflex, in part a line of pigment;
another colour inside it; and vessels that bend where they cross it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from realmnet_benchmarks.phantoms.canvas import Canvas, around
from realmnet_benchmarks.phantoms.fields import FloatPlane, Points, smooth_field, smoothstep, wobble
from realmnet_benchmarks.phantoms.fundus import Disc

_TURN: Points = np.linspace(0, 2 * np.pi, 256, endpoint=False, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Staphyloma:
    """The edge of one staphyloma.

    Attributes:
        centre: eye units.
        stretch: factor on y before distances are taken; below 1 the oval stands upright.
        radii: (256,) radius at equal angles from 0, eye units, in the stretched frame.
        severity: 0..1.
    """

    centre: tuple[float, float]
    stretch: float
    radii: Points
    severity: float

    @classmethod
    def of(cls, rng: np.random.Generator, disc: Disc, severity: float) -> Staphyloma:
        """Draw one: wide or narrow macular, around the disc, nasal of it or below it."""
        x, y = disc.centre
        centre, radius, stretch = (
            ((0.45 * x, 0.0), 0.62, 1.2),
            ((0.1 * x, 0.0), 0.42, 1.15),
            ((x, y), 0.3, 1.0),
            ((x + 0.2, y), 0.34, 0.85),
            ((0.6 * x, 0.2), 0.42, 1.15),
        )[int(rng.choice(5, p=(0.4, 0.28, 0.14, 0.08, 0.1)))]
        moved = (centre[0] + rng.normal(0, 0.05), centre[1] + rng.normal(0, 0.05))
        radii = radius * rng.uniform(0.85, 1.15) * wobble(rng, _TURN, 5, 0.11)
        return cls(moved, stretch * rng.uniform(0.9, 1.1), radii.astype(np.float32), severity)

    def bend(self, points: Points) -> Points:
        """Move points (..., 2) near the edge sideways: vessels dip into the pouch."""
        offset = points - np.array(self.centre, np.float32)
        dx, dy = offset[..., 0], offset[..., 1] * np.float32(self.stretch)
        radius = np.hypot(dx, dy)
        angle = np.mod(np.arctan2(dy, dx), 2 * np.pi)
        depth = radius - np.interp(angle, _TURN, self.radii, period=2 * np.pi)
        bell = np.exp(-((depth / 0.035) ** 2)) * (0.008 + 0.03 * self.severity)
        along = np.stack([-dy, dx], -1) / (radius[..., None] + 1e-3)
        bent: Points = (points + bell[..., None] * along).astype(np.float32)
        return bent


def paint_staphyloma(canvas: Canvas, rng: np.random.Generator, pouch: Staphyloma) -> None:
    """Paint edge and inside; the vessels are bent when they are drawn."""
    window = canvas.crop(pouch.centre, 1.6 * float(pouch.radii.max()) + 0.1)
    radius, angle = canvas.polar(window, pouch.centre, pouch.stretch)
    rows, columns = window
    size = (rows.stop - rows.start, columns.stop - columns.start)
    rough: FloatPlane = smooth_field(rng, *size, 8, 8)
    rough += np.float32(0.5) * smooth_field(rng, *size, 22, 22)
    depth: FloatPlane = np.subtract(radius, around(angle, pouch.radii))
    depth += np.float32(0.024) * rough
    strength = 0.16 + 0.84 * pouch.severity
    inside = smoothstep(depth, 0.05, -0.12)
    tone = rng.uniform(-0.12, 0.3)
    canvas.shade(window, inside * np.float32(strength), tone + 0.12, tone * 0.7)
    # Outside the rim the wall turns away from the light.
    outside = np.exp(-(((depth - np.float32(0.05)) / np.float32(0.06)) ** 2))
    outside *= np.float32(0.35) + np.float32(0.65) * around(angle, _arcs(rng))
    canvas.shade(window, outside * np.float32(strength), -0.2, -0.26)
    reflex, pigment = around(angle, _arcs(rng)), around(angle, _arcs(rng))
    broken = np.clip(np.float32(0.7) + np.float32(0.5) * rough, 0, 1)
    line = np.exp(-((depth / np.float32(rng.uniform(0.012, 0.022))) ** 2))
    canvas.shade(window, line * reflex * broken * np.float32(strength), 0.22, 0.42)
    dark = np.exp(-(((depth + np.float32(0.012)) / np.float32(0.022)) ** 2))
    canvas.shade(window, dark * pigment * (1 - reflex) * broken * np.float32(strength), -0.5, -0.5)
    canvas.mark("PS", window, smoothstep(depth, 0.01, -0.01))


def _arcs(rng: np.random.Generator) -> Points:
    """(256,) periodic pattern of 0..1: one to three arcs around the edge."""
    phases = rng.uniform(0, 2 * np.pi, 3)
    wave = np.cos(_TURN + phases[0]) + 0.7 * np.cos(2 * _TURN + phases[1])
    wave = (wave + 0.5 * np.cos(3 * _TURN + phases[2])).astype(np.float32)
    return smoothstep(wave, 0.1, 1.0)
