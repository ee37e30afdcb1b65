"""The rim of the aperture: where retina gives way to lids, skin and the instrument.

The rim is sought along rays from the middle of the lit outline, in coordinates in which that
outline's box is the square from -1 to 1. The rim of an ultra-widefield camera then lies near
radius 1 whatever the picture's aspect. Two signs mark it, in either kind of picture:

* a rise: lids, skin and instrument reflect, and more green than red, while the retina's periphery
  is vignetted and reddish;
* a crisp fall into the thin dark line that runs along the instrument's rim. A shadow on the retina
  falls too, but softly, and the rings beyond the rim fall again and again, but only the first has
  no darkness behind it.

Where the retina reaches the black surround or the edge of the picture there is neither, and the
rim is the end of what is lit. Dynamic programming finds the best closed path. Its convex hull is
the aperture: apertures are convex, and what reaches into one (a lid, a lash) is not its edge.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.aperture._rim_path import IMPOSSIBLE, between_indices, closed_path
from realmnet_runtime.aperture._surround import (
    WorkingCopy,
    brightest_channel,
    grey_quantile,
    lit_outline,
)

# Radii are counted in steps of 0.0075, about 0.4 % of the lit width. The figures below were chosen
# on six real pictures, their padded variants and phantoms; the tests hold them there.
_ANGLES = 96
_RADII = 96
_INNERMOST, _OUTERMOST = 0.72, 1.43
_RISE_WIDTH = 7
_LARGEST_RISE = 0.9
_GREEN_WEIGHT = 0.5
# A rise counts a little inward too, because the dark line before it is where the rim is.
_RETREAT, _RETREAT_COST = 5, 0.04
_SOFT_FALL, _LARGEST_FALL = 0.2, 1.3
_FALL_MEMORY = 8
# Grey levels above the picture's own floor at which a line is surely and surely not dark.
_DARK, _DIM = 20.0, 60.0
_OPEN_REWARD = 0.45
_LOOKS = 3
_STILL = 0.005

_theta = np.linspace(0.0, 2.0 * np.pi, _ANGLES, endpoint=False)
_DIRECTIONS = np.stack([np.cos(_theta), np.sin(_theta)], axis=1)
_RADIUS = np.linspace(_INNERMOST, _OUTERMOST, _RADII)
_SQUARE = ((_DIRECTIONS.T[:, :, None] * _RADIUS + 1.0) / 2.0).astype(np.float32)
_BINS = np.arange(_RADII)


def aperture_outline(copy: WorkingCopy, lit: NDArray[np.float32]) -> NDArray[np.float32]:
    """The convex outline of the aperture inside the lit outline.

    Args:
        copy: the picture's working copy.
        lit: (N, 2) float32 convex outline of the lit part, pixels of the given picture.

    Returns:
        (M, 2) float32 convex outline, pixels of the given picture.

    Raises:
        NoFieldOfView: nothing is left once the border is cut off.
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
    vertices = (lit - centre) / half
    limit = _reach(vertices)
    last = np.minimum(np.searchsorted(_RADIUS, limit - 0.005), _RADII - 1)
    score = _rim_scores(*_along_rays(copy, low, high), limit, last)
    path = closed_path(score, last)
    is_open = path >= last
    radius = _RADIUS[path] + between_indices(score, path) * (_RADIUS[1] - _RADIUS[0])
    radius = np.where(is_open, limit, np.minimum(radius, limit))
    # Between two open rays the lit outline itself is the rim, corners included.
    turns = np.arctan2(vertices[:, 1], vertices[:, 0]) / (2.0 * np.pi) % 1.0
    before = np.floor(turns * _ANGLES).astype(int) % _ANGLES
    corners = vertices[is_open[before] & is_open[(before + 1) % _ANGLES]]
    outline = np.concatenate([_DIRECTIONS * radius[:, None], corners]) * half + centre
    return np.asarray(cv2.convexHull(outline.astype(np.float32))[:, 0], np.float32)


def _reach(outline: NDArray[np.float32]) -> NDArray[np.float64]:
    """How far each ray from the origin runs before it leaves a convex outline around it."""
    edge = np.roll(outline, -1, axis=0) - outline
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=1).astype(np.float64)
    offset = (normal * outline).sum(axis=1)
    keep = np.abs(offset) > 1e-9
    normal, offset = normal[keep] * np.sign(offset[keep])[:, None], np.abs(offset[keep])
    # Written out, since a matrix product would wake the threads of a linear-algebra library.
    along = _DIRECTIONS[:, :1] * normal[:, 0] + _DIRECTIONS[:, 1:] * normal[:, 1]
    leaves = np.where(along > 1e-9, offset / np.maximum(along, 1e-9), np.inf)
    return np.asarray(leaves.min(axis=1), np.float64)


def _along_rays(
    copy: WorkingCopy, low: NDArray[np.float32], high: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Logarithms of luminance and of green over red at (angle, radius), and the grey floor."""
    span = (high - low) / copy.factor
    start = (low - copy.origin) / copy.factor - 0.5
    columns, rows = (_SQUARE[i] * np.float32(span[i]) + np.float32(start[i]) for i in (0, 1))
    sampled = np.asarray(
        cv2.remap(copy.picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
        np.uint8,
    )
    red, green = sampled[..., 0], sampled[..., 1]
    luminance = brightest_channel(sampled)
    # A picture's own brightness sets where contrast starts to count, so that dim angiograms work.
    bright = grey_quantile(luminance, 0.95)
    floor = float(np.clip(bright / 16.0, 2.0, 10.0))
    logarithm = np.log(np.arange(256) + floor).astype(np.float32)
    return logarithm[luminance], logarithm[green] - logarithm[red], floor


def _rim_scores(
    brightness: NDArray[np.float32],
    greenness: NDArray[np.float32],
    floor: float,
    limit: NDArray[np.float64],
    last: NDArray[np.intp],
) -> NDArray[np.float32]:
    """How much each (angle, radius) looks like the rim; the last one within reach is open."""
    reach = (_RADIUS[None, :] <= limit[:, None] - 0.01).sum(axis=1)[:, None]
    lit = reach >= _BINS + 2
    green_light = (brightness + _GREEN_WEIGHT * greenness).astype(np.float32, copy=False)
    score = _rise(green_light, reach, lit)
    score += _fall(brightness, floor, lit)
    possible = lit & (_BINS >= _RISE_WIDTH) & (last[:, None] > _BINS)
    score[~possible] = IMPOSSIBLE
    score[np.arange(_ANGLES), last] = _OPEN_REWARD
    return score


def _rise(
    values: NDArray[np.float32], reach: NDArray[np.intp], lit: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """How far the mean just outside each radius lies above the mean just inside."""
    total = np.zeros((_ANGLES, _RADII + 1), np.float32)
    np.cumsum(values, axis=1, out=total[:, 1:])
    stop = np.minimum(_BINS + _RISE_WIDTH, reach)
    start = np.maximum(_BINS - _RISE_WIDTH, 0)
    here = total[:, :-1]
    outside = (np.take_along_axis(total, stop, axis=1) - here) / np.maximum(stop - _BINS, 1)
    inside = (here - total[:, start]) / np.maximum(_BINS - start, 1)
    rise = np.where(lit, np.clip(outside - inside, 0.0, _LARGEST_RISE), 0.0).astype(np.float32)
    for back in range(1, _RETREAT + 1):
        np.maximum(rise[:, :-back], rise[:, back:] - _RETREAT_COST * back, out=rise[:, :-back])
    return rise


def _fall(
    brightness: NDArray[np.float32], floor: float, lit: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """How crisply each radius drops into a dark line from where nothing was dark."""
    pair = brightness.copy()
    pair[:, :-1] += brightness[:, 1:]
    pair[:, :-1] /= 2.0
    inside = np.empty_like(pair)
    inside[:, 2:] = pair[:, :-2]
    inside[:, :2] = brightness[:, :2]
    behind = inside.copy()
    for back in range(1, _FALL_MEMORY + 1):
        np.minimum(behind[:, back:], inside[:, :-back], out=behind[:, back:])
    dark, dim = np.log(floor + _DARK), np.log(floor + _DIM)
    darkness = np.clip((dim - pair) / (dim - dark), 0.0, 1.0)
    fall = np.clip(behind - pair - _SOFT_FALL, 0.0, _LARGEST_FALL) * darkness
    return np.where(lit, fall, 0.0).astype(np.float32)
