"""What every eye has: pigment, fovea, optic disc with its crescent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from realmnet_benchmarks.phantoms.canvas import Canvas
from realmnet_benchmarks.phantoms.choroid import vortices
from realmnet_benchmarks.phantoms.fields import (
    FloatPlane,
    Points,
    enlarged,
    smooth_field,
    smoothstep,
    wobble,
)
from realmnet_benchmarks.phantoms.streams import stream

FOVEA: tuple[float, float] = (0.0, 0.0)
FOVEA_RADIUS: float = 0.055
_CIRCLE: Points = np.linspace(0, 2 * np.pi, 72, endpoint=False, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Disc:
    """The optic disc.

    Attributes:
        centre: eye units, in the frame of a right eye.
        radius: mean radius, eye units.
        tilt: height over width of its oval, 1..1.4.
    """

    centre: tuple[float, float]
    radius: float
    tilt: float

    @classmethod
    def of(cls, seed: int, eye: str) -> Disc:
        """The disc of one eye; the fellow's differs by a few per cent."""
        shared, own = stream(seed, "disc"), stream(seed, "disc", eye)
        x = shared.uniform(0.27, 0.33) + own.normal(0, 0.006)
        y = shared.uniform(-0.06, 0.01) + own.normal(0, 0.006)
        radius = shared.uniform(0.046, 0.062) * own.uniform(0.97, 1.03)
        return cls((float(x), float(y)), float(radius), float(shared.uniform(1.0, 1.35)))


def outline(
    rng: np.random.Generator,
    centre: tuple[float, float],
    radius: float,
    amount: float,
    waves: int = 7,
    *,
    tilt: float = 1.0,
) -> Points:
    """(72, 2) eye units: an irregular closed curve of a mean radius; `tilt` stretches y over x."""
    r = radius * wobble(rng, _CIRCLE, waves, amount)
    x = centre[0] + r * np.cos(_CIRCLE) / np.sqrt(tilt)
    y = centre[1] + r * np.sin(_CIRCLE) * np.sqrt(tilt)
    return np.stack([x, y], 1).astype(np.float32)


def paint_background(canvas: Canvas, seed: int, eye: str) -> None:
    """Pigment, slow changes of colour, vortex reds and fine texture."""
    shared, own = stream(seed, "pigment"), stream(seed, "pigment", eye)
    level = shared.uniform(0.85, 1.12)
    tint = shared.normal(0.0, 0.09) + own.normal(0.0, 0.02)
    # Slow changes are painted on a draft and enlarged.
    draft = Canvas(canvas.draft().px)
    slow_red, slow_green = draft.random(own, 0.8), draft.random(own, 0.62)
    medium = draft.random(own, 0.16)
    red = np.float32(0.4 * level * (1 + tint)) * (1 + np.float32(0.12) * slow_red)
    green = np.float32(0.4 * level * (0.92 - tint)) * (1 + np.float32(0.2) * slow_green)
    draft.red[:] = red * (1 + np.float32(0.05) * medium)
    draft.green[:] = green * (1 + np.float32(0.05) * medium)
    _paint_vortices(draft, own, vortices(seed, eye))
    texture = canvas.texture(own)
    texture += 1
    np.multiply(enlarged(draft.green, *canvas.shape), texture, out=canvas.green)
    texture *= np.float32(0.8)
    texture += np.float32(0.2)
    np.multiply(enlarged(draft.red, *canvas.shape), texture, out=canvas.red)


def _paint_vortices(draft: Canvas, rng: np.random.Generator, centres: Points) -> None:
    """The green laser is swallowed over the ampullae of the vortex veins: they look red."""
    for x, y in centres:
        at = (float(x), float(y))
        window = draft.crop(at, 0.5)
        radius, _ = draft.polar(window, at, float(rng.uniform(0.7, 1.4)))
        mask = np.exp(-(radius**2) * np.float32(1 / rng.uniform(0.14, 0.26) ** 2))
        draft.shade(window, mask, float(rng.uniform(-0.25, 0.1)), float(rng.uniform(-0.6, -0.2)))


def paint_fovea(canvas: Canvas, seed: int, eye: str) -> None:
    """The dark spot of the macula and its yellow-green surroundings."""
    rng = stream(seed, "fovea", eye)
    window = canvas.crop(FOVEA, 0.45)
    radius, _ = canvas.polar(window, FOVEA, rng.uniform(0.9, 1.15))
    canvas.shade(window, np.exp(-(radius**2) / np.float32(0.2**2)), -0.04, 0.12)
    canvas.shade(window, np.exp(-(radius**2) / np.float32(0.06**2)), -0.2, -0.42)
    canvas.shade(window, np.exp(-(radius**2) / np.float32(0.02**2)), -0.15, -0.2)


def paint_disc(canvas: Canvas, disc: Disc, seed: int, eye: str, atrophy: float) -> None:
    """The disc, its cup, its halo of nerve fibres, and the crescent of myopic eyes.

    Args:
        canvas: the sheet.
        disc: where it is.
        seed: patient's seed.
        eye: "OD" or "OS".
        atrophy: size of the crescent, 0..1.
    """
    rng = stream(seed, "disc surface", eye)
    window = canvas.crop(disc.centre, 6 * disc.radius)
    radius, angle = canvas.polar(window, disc.centre)
    fibres = np.exp(-(radius**2) / np.float32((3.0 * disc.radius) ** 2))
    fibres *= np.float32(0.55) + np.float32(0.45) * np.abs(np.sin(angle))
    canvas.shade(window, fibres, 0.06, 0.3)
    if atrophy > 0.03:
        shift = disc.radius * (0.25 + 0.55 * atrophy)
        centre = (disc.centre[0] - shift, disc.centre[1] + rng.normal(0, 0.2) * shift)
        size = disc.radius * (1.02 + 0.75 * atrophy)
        crescent = canvas.shape_mask(window, outline(rng, centre, size, 0.08), 0.004)
        mottle = np.float32(0.85) + np.float32(0.12) * _mottle(rng, window)
        canvas.blend(
            window, crescent * np.float32(0.45 + 0.5 * atrophy), 0.74 * mottle, 0.6 * mottle
        )
    body = canvas.shape_mask(
        window, outline(rng, disc.centre, disc.radius, 0.03, 4, tilt=disc.tilt), 0.005
    )
    canvas.blend(window, body, rng.uniform(0.74, 0.88), rng.uniform(0.5, 0.62))
    cup = np.exp(-((radius / np.float32(disc.radius * 0.42)) ** 2))
    canvas.blend(window, cup * np.float32(0.7), 0.88, 0.82)
    rim = smoothstep(radius, disc.radius * 1.5, disc.radius * 1.05) * (1 - body)
    canvas.shade(window, rim * np.float32(rng.uniform(0, 1)), -0.2, -0.2)


def _mottle(rng: np.random.Generator, window: tuple[slice, slice]) -> FloatPlane:
    rows, columns = window
    return smooth_field(rng, rows.stop - rows.start, columns.stop - columns.start, 24, 24)
