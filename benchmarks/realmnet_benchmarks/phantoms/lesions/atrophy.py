"""Atrophy: diffuse (DCA), patchy (PCA) and macular (MA), META-PM grades 2 to 4."""

from __future__ import annotations

import numpy as np

from realmnet_benchmarks.phantoms.canvas import Canvas, Slices, blurred
from realmnet_benchmarks.phantoms.fields import FloatPlane, smooth_field, smoothstep
from realmnet_benchmarks.phantoms.fundus import FOVEA, Disc, outline

PATCH_CLEARANCE: float = 0.085
"""Smallest distance of a patch's edge from the foveal centre, eye units."""


def paint_diffuse(
    canvas: Canvas, rng: np.random.Generator, disc: Disc, severity: float, channels: FloatPlane
) -> None:
    """Paint diffuse atrophy: an ill-defined yellowish-white veil over the posterior pole.

    Args:
        canvas: the sheet.
        rng: this lesion's stream.
        disc: the veil begins around it and spreads to the macula.
        severity: 0..1; widens and whitens.
        channels: (H, W) choroidal channels; the larger ones stay visible through the veil.
    """
    centre = (disc.centre[0] * rng.uniform(0.35, 0.8), float(rng.uniform(-0.05, 0.06)))
    reach = 0.22 + 0.34 * severity
    window = canvas.crop(centre, 2.1 * reach)
    radius, _ = canvas.polar(window, centre, rng.uniform(1.0, 1.35))
    rough = _noise(rng, window, 9) + np.float32(0.7) * _noise(rng, window, 26)
    rough *= np.float32(0.16 * reach)
    veil = smoothstep(radius + rough, 1.25 * reach, 0.35 * reach)
    fine = np.float32(1) + np.float32(0.14) * _noise(rng, window, 60)
    veil *= np.float32(0.14 + 0.62 * severity)
    through = np.float32(0.12) * channels[window]
    canvas.blend(window, veil, (np.float32(0.66) + through) * fine, np.float32(0.60) * fine)
    canvas.mark("DCA", window, veil, 0.5 * (0.14 + 0.62 * severity))


def paint_patches(
    canvas: Canvas, rng: np.random.Generator, disc: Disc, severity: float, channels: FloatPlane
) -> None:
    """Paint patchy atrophy: well-defined grey-white islands away from the fovea.

    Args:
        canvas: the sheet.
        rng: this lesion's stream.
        disc: patches keep off it as well.
        severity: 0..1; more, larger and whiter patches.
        channels: (H, W) choroidal channels, a few of which cross a patch.
    """
    count = 1 + int(severity * 4.2 + rng.uniform(0, 1.2))
    placed: list[tuple[float, float, float]] = []
    for _ in range(40):
        if len(placed) == count:
            break
        size = (0.03 + 0.075 * severity) * rng.uniform(0.65, 1.25)
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.16, 0.62)
        x, y = distance * np.cos(angle), 0.85 * distance * np.sin(angle)
        clear = np.hypot(x, y) > 1.75 * size + PATCH_CLEARANCE
        off_disc = np.hypot(x - disc.centre[0], y - disc.centre[1]) > 1.2 * size + 1.6 * disc.radius
        if clear and off_disc:
            placed.append((float(x), float(y), float(size)))
    for x, y, size in placed or [(-0.3, 0.15, 0.05)]:
        opacity = 0.3 + 0.62 * severity
        _patch(canvas, rng, (x, y), size, opacity=opacity, channels=channels)


def paint_macular(
    canvas: Canvas, rng: np.random.Generator, severity: float, channels: FloatPlane
) -> None:
    """Paint macular atrophy: a round pale disc centred on the fovea with a dark pigment rim.

    Args:
        canvas: the sheet.
        rng: this lesion's stream.
        severity: 0..1; larger, paler, with a darker rim.
        channels: (H, W) choroidal channels, faint inside.
    """
    size = 0.055 + 0.095 * severity
    window = canvas.crop(FOVEA, 2.2 * size)
    shape = outline(rng, FOVEA, size, 0.07, 6, tilt=float(rng.uniform(0.9, 1.1)))
    core = canvas.shape_mask(window, shape, 0.004)
    around = canvas.shape_mask(
        window, outline(rng, FOVEA, size * float(rng.uniform(1.2, 1.4)), 0.12, 7), 0.012
    )
    clumps = smoothstep(_noise(rng, window, 12) + _noise(rng, window, 30), -1.6, 0.9)
    rim = np.clip(around - core, 0, 1) * clumps
    canvas.shade(window, rim * np.float32(0.35 + 0.45 * severity), -0.75, -0.75)
    fine = np.float32(1) + np.float32(0.07) * _noise(rng, window, 40)
    inside = core * np.float32(0.4 + 0.52 * severity)
    through = np.float32(0.1) * channels[window]
    canvas.blend(window, inside, (np.float32(0.8) + through) * fine, np.float32(0.74) * fine)
    heart = canvas.shape_mask(window, shape * np.float32(0.28), 0.01) * clumps
    canvas.shade(window, heart * np.float32(0.5), -0.7, -0.7)
    canvas.mark("MA", window, np.maximum(around, core))


def _patch(
    canvas: Canvas,
    rng: np.random.Generator,
    centre: tuple[float, float],
    size: float,
    *,
    opacity: float,
    channels: FloatPlane,
) -> None:
    window = canvas.crop(centre, 2.4 * size)
    shape = outline(rng, centre, size, 0.24, 8, tilt=float(rng.uniform(0.7, 1.4)))
    core = canvas.shape_mask(window, shape, 0.0025)
    # Clear of the fovea by construction, whatever the outline's bulges.
    radius, _ = canvas.polar(window, FOVEA)
    core = core * (radius > PATCH_CLEARANCE)
    edge = np.clip(blurred(core, 0.01 * canvas.px) * 2 - core, 0, 1) * smoothstep(
        _noise(rng, window, 14), 0.2, 1.2
    )
    canvas.shade(window, edge.astype(np.float32), -0.5, -0.5)
    fine = np.float32(1) + np.float32(0.06) * _noise(rng, window, 30)
    through = np.float32(0.16) * channels[window]
    red = (np.float32(0.82) + np.float32(0.5) * through) * fine
    canvas.blend(window, core * np.float32(opacity), red, (np.float32(0.77) - through) * fine)
    canvas.mark("PCA", window, core)


def _noise(rng: np.random.Generator, window: Slices, cells: int) -> FloatPlane:
    rows, columns = window
    return smooth_field(rng, rows.stop - rows.start, columns.stop - columns.start, cells, cells)
