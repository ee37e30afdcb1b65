"""The best closed path around a polar map, by dynamic programming."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IMPOSSIBLE = -1e6
"""Score of a radius that the path must not take."""

_FARTHEST_STEP = 6
_STEP_COST = 0.05
_STEPS = np.arange(-_FARTHEST_STEP, _FARTHEST_STEP + 1)
_COSTS = (-_STEP_COST * np.abs(_STEPS)).astype(np.float32)


def closed_path(score: NDArray[np.float32], last: NDArray[np.intp]) -> NDArray[np.intp]:
    """The radius index of each angle on the closed path of the largest total score.

    A path moves at most six indices from one angle to the next, and each costs a little. From one
    angle's last index to the next angle's it moves freely, since the corner of a picture is
    steeper in radius than any rim.

    Args:
        score: (angles, radii) float32, `IMPOSSIBLE` where the path must not go.
        last: (angles,) index of each angle's last possible radius.

    Returns:
        (angles,) indices into the radii.
    """
    angles, radii = score.shape
    # A quarter of a turn more lets the ends of the chain forget that they were ends.
    spare = angles // 8
    order = np.arange(angles + 2 * spare) % angles
    ends = [int(end) for end in last[order]]
    ordered = score[order]
    padded = np.full((order.size, radii + 2 * _FARTHEST_STEP), IMPOSSIBLE, np.float32)
    best = padded[:, _FARTHEST_STEP:-_FARTHEST_STEP]
    best[0] = ordered[0]
    reachable = np.lib.stride_tricks.sliding_window_view(padded, radii, axis=1)
    options = np.empty((_STEPS.size, radii), np.float32)
    arrived = np.empty(radii, np.float32)
    costs = _COSTS[:, None]
    for turn in range(1, order.size):
        np.add(reachable[turn - 1], costs, out=options)
        np.maximum.reduce(options, axis=0, out=arrived)
        end, before = ends[turn], ends[turn - 1]
        arrived[end] = max(arrived[end], best[turn - 1, before])
        np.add(arrived, ordered[turn], out=best[turn])
    path = np.empty(order.size, np.intp)
    here = int(best[-1].argmax())
    for turn in range(order.size - 1, 0, -1):
        path[turn] = here
        around = padded[turn - 1, here : here + _STEPS.size] + _COSTS
        choice = int(around.argmax())
        before = ends[turn - 1]
        if here == ends[turn] and best[turn - 1, before] >= around[choice]:
            here = before
        else:
            here += choice - _FARTHEST_STEP
    path[0] = here
    return np.roll(path[spare : spare + angles], spare)


def between_indices(score: NDArray[np.float32], path: NDArray[np.intp]) -> NDArray[np.float32]:
    """Where between its neighbours each angle's score peaks, by a parabola.

    Args:
        score: (angles, radii) float32.
        path: (angles,) indices into the radii.

    Returns:
        (angles,) float32, fractions of an index to add to the path, -0.5..0.5.
    """
    angles = np.arange(score.shape[0])
    here = score[angles, path]
    below = score[angles, np.maximum(path - 1, 0)]
    above = score[angles, np.minimum(path + 1, score.shape[1] - 1)]
    bend = below - 2.0 * here + above
    usable = (bend < -1e-6) & (np.minimum(below, above) > IMPOSSIBLE / 2)
    shift = np.where(usable, 0.5 * (below - above) / np.where(usable, bend, 1.0), 0.0)
    return np.clip(shift, -0.5, 0.5).astype(np.float32)
