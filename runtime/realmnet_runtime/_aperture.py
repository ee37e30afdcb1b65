"""The rim of the aperture: where retina gives way to lids, lashes' roots and the instrument.

The rim is sought along rays from the middle of the lit outline, in coordinates in which that
outline's box is the square from -1 to 1. The rim of every ultra-widefield camera then lies near
radius 1, whatever its aspect. Outside it the picture is brighter than just inside, because lids
and instrument reflect while the retina's periphery is vignetted; where the retina reaches the
black surround or the edge of the picture there is nothing outside. The best closed path is found
by dynamic programming, and its convex hull is the aperture, since apertures are convex and what
reaches into one (a lash, a lid's corner) is not its edge.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime._surround import WorkingCopy, lit_outline

_ANGLES = 96
_RADII = 96
_INNERMOST, _OUTERMOST = 0.72, 1.43
_WINDOW = 7
_SHARPNESS = 1000.0
_FARTHEST_STEP = 6
_STEP_COST = 0.05
_OPEN_REWARD = 0.45
_SHRINK_COST = 0.0
_LARGEST_CONTRAST = 0.9
_LARGEST_FALL = 1.3
_FALL_WEIGHT = 1.0
_RETREAT, _RETREAT_COST = 5, 0.04
_MEMORY = 8
_SOFT_FALL = 0.2
_DARK, _DIM = 20.0, 60.0
_GREEN_WEIGHT = 0.5
_LOOKS = 3
_STILL = 0.005
_IMPOSSIBLE = -1e6

_theta = np.linspace(0.0, 2.0 * np.pi, _ANGLES, endpoint=False)
_DIRECTIONS = np.stack([np.cos(_theta), np.sin(_theta)], axis=1)
_RADIUS = np.linspace(_INNERMOST, _OUTERMOST, _RADII)


def aperture_outline(copy: WorkingCopy, lit: NDArray[np.float32]) -> NDArray[np.float32]:
    """The convex outline of the aperture inside the lit outline.

    Args:
        copy: the picture's working copy.
        lit: (N, 2) float32 convex outline of the lit part, pixels of the given picture.

    Returns:
        (M, 2) float32 convex outline, pixels of the given picture.
    """
    outline = _rim_outline(copy, lit)
    # Cutting a picture to its box must not change the answer, so the answer is looked for again
    # in what such a cut would leave, until it stands still.
    for _ in range(_LOOKS - 1):
        low, high = np.round(outline.min(axis=0)), np.round(outline.max(axis=0))
        cut = np.maximum(low - lit.min(axis=0), lit.max(axis=0) - high)
        if (cut <= _STILL * (high - low)).all():
            break
        copy = copy.cut(low, high)
        lit = lit_outline(copy)
        outline = _rim_outline(copy, lit)
    return outline


def _rim_outline(copy: WorkingCopy, lit: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = lit.min(axis=0), lit.max(axis=0)
    centre, half = (low + high) / 2.0, (high - low) / 2.0
    limit = _reach((lit - centre) / half)
    brightness, greenness, floor = _along_rays(copy, low, high)
    last = np.minimum(np.searchsorted(_RADIUS, limit - 0.005), _RADII - 1)
    score = _rim_scores(brightness, greenness, floor, limit, last)
    path = _closed_path(score, last)
    radius = np.minimum(_refined(score, path), limit)
    radius = np.where(path >= last, limit, radius)
    points = [_DIRECTIONS * radius[:, None]]
    vertices = (lit - centre) / half
    position = np.arctan2(vertices[:, 1], vertices[:, 0]) % (2.0 * np.pi) / (2.0 * np.pi) * _ANGLES
    before = np.floor(position).astype(int) % _ANGLES
    free = path >= last
    points.append(vertices[free[before] & free[(before + 1) % _ANGLES]])
    outline = np.concatenate(points) * half + centre
    return cv2.convexHull(outline.astype(np.float32))[:, 0].astype(np.float32)


def _reach(outline: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each ray from the origin runs before it leaves a convex outline around it."""
    edge = np.roll(outline, -1, axis=0) - outline
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=1).astype(np.float64)
    offset = (normal * outline).sum(axis=1)
    keep = np.abs(offset) > 1e-9
    normal, offset = normal[keep] * np.sign(offset[keep])[:, None], np.abs(offset[keep])
    along = _DIRECTIONS @ normal.T
    return np.where(along > 1e-9, offset / np.maximum(along, 1e-9), np.inf).min(axis=1)


def _along_rays(
    copy: WorkingCopy, low: NDArray[np.float32], high: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Logarithms of luminance and of green over red at (angle, radius), (96, 96) float32 each."""
    span = (high - low) / copy.factor
    position = (_DIRECTIONS[:, None, :] * _RADIUS[None, :, None] + 1.0) / 2.0 * span
    position += (low - copy.origin) / copy.factor - 0.5
    sharp = cv2.GaussianBlur(copy.picture, (5, 5), max(0.4, float(span.max()) / _SHARPNESS))
    sampled = cv2.remap(
        sharp,
        position[..., 0].astype(np.float32),
        position[..., 1].astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32)
    luminance = sampled.max(axis=2)
    # A picture's own brightness sets where contrast starts to count, so that dim angiograms work.
    floor = np.float32(np.clip(np.percentile(luminance, 95) / 16.0, 2.0, 10.0))
    greenness = np.log((sampled[..., 1] + floor) / (sampled[..., 0] + floor))
    return np.log(luminance + floor), greenness, float(floor)


def _rim_scores(
    brightness: NDArray[np.float32],
    greenness: NDArray[np.float32],
    floor: float,
    limit: NDArray[np.float64],
    last: NDArray[np.intp],
) -> NDArray[np.float64]:
    """How much each (angle, radius) looks like the rim; the last one within reach is open."""
    bins = np.arange(_RADII)
    reach = (_RADIUS[None, :] <= limit[:, None] - 0.01).sum(axis=1)[:, None]
    rise = _step(brightness + _GREEN_WEIGHT * greenness, reach, gap=0, width=_WINDOW)
    rise = np.clip(rise, 0.0, _LARGEST_CONTRAST)
    for back in range(1, _RETREAT + 1):
        np.maximum(rise[:, :-back], rise[:, back:] - _RETREAT_COST * back, out=rise[:, :-back])
    outside = _mean_ahead(brightness, reach, gap=0, width=2)
    inside = brightness.copy()
    inside[:, 2:] = (brightness[:, 1:-1] + brightness[:, :-2]) / 2.0
    behind = inside.copy()
    for back in range(1, _MEMORY + 1):
        np.minimum(behind[:, back:], inside[:, :-back], out=behind[:, back:])
    fall = np.clip(behind - outside - _SOFT_FALL, 0.0, _LARGEST_FALL)
    dark, dim = np.log(floor + _DARK), np.log(floor + _DIM)
    fall = np.where(
        bins + 2 <= reach, fall * np.clip((dim - outside) / (dim - dark), 0.0, 1.0), 0.0
    )
    shrink = _SHRINK_COST * np.maximum(0.0, 1.0 - _RADIUS)[None, :]
    score = rise + _FALL_WEIGHT * fall - shrink
    possible = (bins + 2 <= reach) & (bins >= _WINDOW) & (bins < last[:, None])
    score = np.where(possible, score, _IMPOSSIBLE)
    score[np.arange(_ANGLES), last] = _OPEN_REWARD - _SHRINK_COST * np.maximum(0.0, 1.0 - limit)
    return score


def _mean_ahead(
    values: NDArray[np.float32], reach: NDArray[np.intp], gap: int, width: int
) -> NDArray[np.float64]:
    """Mean over `width` radii outside each radius, `gap` beyond it, as far as `reach` allows."""
    total = np.zeros((_ANGLES, _RADII + 1))
    np.cumsum(values, axis=1, out=total[:, 1:])
    start = np.minimum(np.arange(_RADII) + gap, reach)
    stop = np.minimum(start + width, reach)
    summed = np.take_along_axis(total, stop, axis=1) - np.take_along_axis(total, start, axis=1)
    return summed / np.maximum(stop - start, 1)


def _step(
    values: NDArray[np.float32], reach: NDArray[np.intp], gap: int, width: int
) -> NDArray[np.float64]:
    """Mean outside less mean inside each radius; 0 where too little of the outside is lit."""
    ahead = _mean_ahead(values, reach, gap, width)
    total = np.zeros((_ANGLES, _RADII + 1))
    np.cumsum(values, axis=1, out=total[:, 1:])
    bins = np.arange(_RADII)
    stop = np.maximum(bins - gap, 0)
    start = np.maximum(stop - width, 0)
    behind = (total[:, stop] - total[:, start]) / np.maximum(stop - start, 1)
    enough = bins + gap + 2 <= reach
    return np.where(enough, ahead - behind, 0.0)


def _closed_path(score: NDArray[np.float64], last: NDArray[np.intp]) -> NDArray[np.intp]:
    """The radius index of each angle on the closed path of the largest total score.

    A step from one open end to the next is free however long it is, since a picture's corner is
    steeper in radius than any rim.
    """
    steps = np.arange(-_FARTHEST_STEP, _FARTHEST_STEP + 1)
    cost = -_STEP_COST * np.abs(steps)
    # Half a turn extra lets the ends of the chain forget that they were ends.
    order = np.arange(_ANGLES + _ANGLES // 2) % _ANGLES
    ends = last[order]
    padded = np.full((order.size, _RADII + 2 * _FARTHEST_STEP), _IMPOSSIBLE)
    inner = slice(_FARTHEST_STEP, -_FARTHEST_STEP)
    padded[0, inner] = score[0]
    best = padded[:, inner]
    windows = np.lib.stride_tricks.sliding_window_view(padded, steps.size, axis=1)
    for turn in range(1, order.size):
        arrived = (windows[turn - 1] + cost).max(axis=1)
        end = ends[turn]
        arrived[end] = max(arrived[end], best[turn - 1, ends[turn - 1]])
        np.add(arrived, score[order[turn]], out=best[turn])
    path = np.zeros(order.size, np.intp)
    path[-1] = best[-1].argmax()
    for turn in range(order.size - 1, 0, -1):
        here = path[turn]
        reached = windows[turn - 1, here] + cost
        choice = reached.argmax()
        before = ends[turn - 1]
        along_the_end = here == ends[turn] and best[turn - 1, before] >= reached[choice]
        path[turn - 1] = before if along_the_end else here + steps[choice]
    quarter = _ANGLES // 4
    return np.roll(path[quarter : quarter + _ANGLES], quarter)


def _refined(score: NDArray[np.float64], path: NDArray[np.intp]) -> NDArray[np.float64]:
    """The path's radii, to a fraction of a step by a parabola through the neighbouring scores."""
    angles = np.arange(_ANGLES)
    here = score[angles, path]
    below = score[angles, np.maximum(path - 1, 0)]
    above = score[angles, np.minimum(path + 1, _RADII - 1)]
    bend = below - 2.0 * here + above
    usable = (bend < -1e-6) & (np.minimum(below, above) > _IMPOSSIBLE / 2)
    shift = np.where(usable, 0.5 * (below - above) / np.where(usable, bend, 1.0), 0.0)
    step = _RADIUS[1] - _RADIUS[0]
    return _RADIUS[path] + np.clip(shift, -0.5, 0.5) * step
