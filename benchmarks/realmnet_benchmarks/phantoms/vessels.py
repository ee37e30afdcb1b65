"""The retinal vessel tree: arcades, nasal branches, two generations of side branches.

Veins are wider and absorb more; both run smoothly, taper, and leave the disc over an area of it,
not from one point. Only the green laser shows them well, as in real two-laser pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from realmnet_benchmarks.phantoms.canvas import Canvas, blurred, draw_curves
from realmnet_benchmarks.phantoms.fields import Points, resized, smoothstep
from realmnet_benchmarks.phantoms.fundus import Disc
from realmnet_benchmarks.phantoms.streams import stream

_POINTS: Final = 28
Bend = Callable[[Points], Points]


@dataclass(frozen=True, slots=True)
class VesselTree:
    """Curves of one eye.

    Attributes:
        curves: (N, K, 2) eye units, from the disc outwards.
        widths: (N, K) eye units.
        absorption: (N,) share of green light taken away, 0..1.
    """

    curves: Points
    widths: Points
    absorption: Points


def grow_tree(seed: int, eye: str, disc: Disc) -> VesselTree:
    """Grow the tree of one eye; the fellow eye's main vessels are near relatives."""
    shared, own = stream(seed, "arcades"), stream(seed, "vessels", eye)
    mains, width, vein = _mains(shared, own, disc.centre, disc.radius)
    sets = [(mains, width, vein)]
    parents, parent_width, parent_vein = mains, width, vein
    for children, length in ((5, 0.7), (3, 0.4)):
        parents, parent_width, parent_vein = _branches(
            own, parents, parent_width, parent_vein, children=children, length=length
        )
        sets.append((parents, parent_width, parent_vein))
    curves = np.concatenate([s[0] for s in sets])
    widths = np.concatenate([s[1] for s in sets])
    veins = np.concatenate([s[2] for s in sets])
    absorption = np.where(veins, 0.7, 0.54).astype(np.float32)
    return VesselTree(curves, widths, absorption * own.uniform(0.85, 1.05))


def paint_vessels(canvas: Canvas, tree: VesselTree, disc: Disc, bend: Bend | None = None) -> None:
    """Draw the tree over everything painted so far.

    Args:
        canvas: the sheet.
        tree: what to draw.
        disc: vessels look paler in front of it.
        bend: moves points of the curves, as the rim of a staphyloma does.
    """
    curves = tree.curves if bend is None else bend(tree.curves)
    height, width = canvas.shape
    # Twice the resolution on small sheets, where the finest vessels are thinner than a pixel.
    scale = 2 if canvas.px < 500 else 1
    layer = draw_curves(
        (height * scale, width * scale),
        canvas.to_px(curves) * scale,
        tree.widths * (canvas.px * scale),
        tree.absorption,
        7,
    )
    if scale > 1:
        layer = resized(layer, height, width)
    layer = blurred(layer, 0.0014 * canvas.px)
    window = canvas.crop(disc.centre, 2 * disc.radius)
    radius, _ = canvas.polar(window, disc.centre)
    layer[window] *= np.float32(1) - np.float32(0.55) * smoothstep(
        radius, 1.3 * disc.radius, 0.7 * disc.radius
    )
    canvas.green *= np.float32(1.0) - layer
    canvas.red *= np.float32(1.0) - np.float32(0.52) * layer


def _mains(
    shared: np.random.Generator,
    own: np.random.Generator,
    disc: tuple[float, float],
    radius: float,
) -> tuple[Points, Points, np.ndarray]:
    curves, widths, veins = [], [], []
    t = np.linspace(0.0, 1.0, _POINTS, dtype=np.float32)
    for side in (-1.0, 1.0):
        opening = shared.uniform(0.46, 0.62)
        for vein in (True, False):
            # A parabola around the macula whose apex is the disc: x falls as the square of y.
            reach = shared.uniform(1.35, 1.7)
            k = opening * (1.0 if vein else 0.9) * own.uniform(0.95, 1.05)
            along = reach * t**1.3
            x = disc[0] + 0.35 * radius * own.uniform(-1, 1) - along
            y = disc[1] + side * (k * np.sqrt(along + 1e-4) + 0.08 * along * own.uniform(-1, 1))
            curves.append(np.stack([x, y], 1))
            widths.append(_taper(0.0145 if vein else 0.0105, t))
            veins.append(vein)
            # Nasal arcade of the same side.
            angle = side * shared.uniform(0.55, 1.15)
            start = _inside(own, disc, radius)
            curves.append(
                _ray(own, start, angle, length=own.uniform(1.0, 1.3), turn=side * -0.3, t=t)
            )
            widths.append(_taper(0.0115 if vein else 0.0085, t))
            veins.append(vein)
    for angle in (*own.uniform(-0.5, 0.5, 2), *(own.choice([-1, 1], 2) * own.uniform(1.4, 1.9, 2))):
        start = _inside(own, disc, radius)
        curves.append(_ray(own, start, float(angle), length=own.uniform(0.7, 1.1), turn=0.0, t=t))
        widths.append(_taper(0.0085, t))
        veins.append(bool(own.integers(2)))
    for _ in range(3):  # macular twigs
        angle = np.pi + own.uniform(-0.7, 0.7)
        start = _inside(own, disc, radius)
        curves.append(_ray(own, start, float(angle), length=own.uniform(0.15, 0.24), turn=0.0, t=t))
        widths.append(_taper(0.005, t))
        veins.append(False)
    stack = np.stack(curves).astype(np.float32)
    return stack + _wiggle(own, stack, 0.017), np.stack(widths), np.array(veins)


def _branches(
    rng: np.random.Generator,
    parents: Points,
    parent_widths: Points,
    parent_veins: np.ndarray,
    *,
    children: int,
    length: float,
) -> tuple[Points, Points, np.ndarray]:
    count = len(parents) * children
    parent = np.repeat(np.arange(len(parents)), children)
    slot = np.tile(np.arange(children), len(parents))
    fraction = 0.2 + 0.7 * (slot + rng.uniform(0.1, 0.9, count)) / children
    where = np.clip((fraction * (_POINTS - 1)).astype(int), 1, _POINTS - 2)
    start = parents[parent, where]
    ahead = parents[parent, where + 1] - parents[parent, where - 1]
    side = np.where((slot + rng.integers(0, 2, count)) % 2 == 0, -1.0, 1.0)
    angle = np.arctan2(ahead[:, 1], ahead[:, 0]) + side * rng.uniform(0.45, 0.95, count)
    parent_length = np.linalg.norm(parents[:, -1] - parents[:, 0], axis=1)[parent]
    size = np.minimum(length, 0.65 * parent_length) * rng.uniform(0.55, 1.15, count)
    t = np.linspace(0.0, 1.0, _POINTS, dtype=np.float32)
    # Side branches turn back towards the direction of their parent.
    turn = -side * rng.uniform(0.1, 0.7, count)
    heading = angle[:, None] + turn[:, None] * t[None]
    step = (size / (_POINTS - 1))[:, None, None]
    walk = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 2) * step, axis=1)
    curves = (start[:, None] + walk - walk[:, :1]).astype(np.float32)
    thick = parent_widths[parent, where] * rng.uniform(0.5, 0.74, count)
    widths = thick[:, None] * (1.0 - 0.5 * t[None])
    return (
        curves + _wiggle(rng, curves, 0.02),
        widths.astype(np.float32),
        parent_veins[parent],
    )


def _inside(
    rng: np.random.Generator, disc: tuple[float, float], radius: float
) -> tuple[float, float]:
    angle, distance = rng.uniform(0, 2 * np.pi), radius * 0.55 * np.sqrt(rng.uniform())
    return disc[0] + distance * np.cos(angle), disc[1] + distance * np.sin(angle)


def _ray(
    rng: np.random.Generator,
    start: tuple[float, float],
    angle: float,
    *,
    length: float,
    turn: float,
    t: Points,
) -> Points:
    heading = angle + (turn + rng.uniform(-0.25, 0.25)) * t
    step = length / (len(t) - 1)
    walk = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1) * step, axis=0)
    ray: Points = (np.array(start) + walk - walk[0]).astype(np.float32)
    return ray


def _taper(width: float, t: Points) -> Points:
    return (width * (1.0 - 0.68 * t**0.8)).astype(np.float32)


def _wiggle(rng: np.random.Generator, curves: Points, amount: float) -> Points:
    t = np.linspace(0.0, 1.0, curves.shape[1], dtype=np.float32)
    ahead = np.gradient(curves, axis=1)
    across = np.stack([-ahead[..., 1], ahead[..., 0]], 2)
    across /= np.linalg.norm(across, axis=2, keepdims=True) + 1e-6
    length = np.linalg.norm(curves[:, -1] - curves[:, 0], axis=1)
    waves = np.zeros((len(curves), len(t)), np.float32)
    for order in (1.3, 2.6, 4.7):
        phase = rng.uniform(0, 2 * np.pi, (len(curves), 1))
        weight = rng.normal(0, 1, (len(curves), 1)) / order
        waves += (weight * (np.sin(2 * np.pi * order * t[None] + phase) - np.sin(phase))).astype(
            np.float32
        )
    size = np.minimum(length, np.float32(1.2)) * np.float32(amount)
    shift: Points = (waves * size[:, None])[..., None] * across
    return shift
