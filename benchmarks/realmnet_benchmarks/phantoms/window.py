"""The camera's window: where in the picture the retina can be seen.

*Aperture* here means the opening of the instrument: the smooth convex region inside its rim. It
includes whatever covers a part of it from in front (lids, lashes, reflections) and excludes skin,
lids and parts of the device beyond the rim. On real pictures the same definition gives the boxes a
person draws: the extent of the retina, bridged where a lid cuts into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from realmnet_benchmarks.phantoms.cases import PhantomCase
from realmnet_benchmarks.phantoms.fields import BoolPlane, FloatPlane
from realmnet_benchmarks.phantoms.streams import stream
from realmnet_runtime.boxes import Box

Form = Literal["oval", "frame"]


@dataclass(frozen=True, slots=True)
class Window:
    """The window of one picture.

    Attributes:
        height: rows of the picture.
        width: columns of the picture.
        form: "oval" (a wide rounded shape) or "frame" (rounded rectangle, narrower at the top,
            whose upper corners are cut by the rim of the instrument).
        centre: (x, y) in pixels.
        half_width: pixels.
        half_height: pixels; one eye unit of an unzoomed eye.
        exponent: of the superellipse; 2 is an ellipse, more is squarer.
        taper: part by which the top is narrower than the bottom, >= 0.
        cut: half axes of the rim's ellipse relative to the window's, (x, y); used by "frame".
    """

    height: int
    width: int
    form: Form
    centre: tuple[float, float]
    half_width: float
    half_height: float
    exponent: float
    taper: float
    cut: tuple[float, float]

    def axes(self) -> tuple[FloatPlane, FloatPlane]:
        """Position relative to the window: x as (1, W), y as (H, 1), +-1 at its sides."""
        x = (np.arange(self.width, dtype=np.float32) + 0.5 - self.centre[0]) / self.half_width
        y = (np.arange(self.height, dtype=np.float32) + 0.5 - self.centre[1]) / self.half_height
        return x[None].astype(np.float32), y[:, None].astype(np.float32)

    def outer(self) -> FloatPlane:
        """(H, W) float32: 1 on the outline without the rim's cut, below inside, above outside."""
        x, y = self.axes()
        n = self.exponent
        narrow = np.maximum(0.3, 1.0 + self.taper * y) ** -n
        total = np.abs(x) ** n * narrow + np.abs(y) ** n
        distance: FloatPlane = np.power(total, np.float32(1 / n), out=total)
        return distance

    def rim(self) -> FloatPlane | None:
        """(H, W) float32: 1 on the rim that cuts the upper corners of a "frame", else None."""
        if self.form == "oval":
            return None
        x, y = self.axes()
        across = x / np.float32(self.cut[0])
        above = np.minimum(y * np.float32(1 / self.cut[1]), 0)
        distance: FloatPlane = np.sqrt(across**2 + above**2)
        return distance

    def distance(self) -> FloatPlane:
        """(H, W) float32: 1 on the edge of the aperture, below inside, above outside."""
        outer, rim = self.outer(), self.rim()
        return outer if rim is None else np.maximum(outer, rim, out=outer)

    def aperture(self) -> BoolPlane:
        """(H, W) bool: True inside."""
        return self.distance() <= 1.0

    def box(self) -> Box:
        """Tight half-open box (x0, y0, x1, y1) of the aperture, pixels."""
        return box_of(self.aperture())


def box_of(mask: BoolPlane) -> Box:
    """Tight half-open box (x0, y0, x1, y1) of a mask that has at least one pixel."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def place_window(case: PhantomCase, height: int, width: int) -> Window:
    """Place the window of a case in a picture of a size."""
    rng = stream(case.seed, "window", case.eye, case.image)
    device = stream(case.seed, "device")  # one visit, one camera
    frame = device.uniform() < case.hospital.frame_share
    aspect = rng.uniform(1.22, 1.34)
    if case.border == "black":
        # Margins up to a seventh of the picture on each side, independent of one another.
        left, right, top, bottom = (rng.uniform(0.0, 1.0, 4) ** 2) * 0.13 + 0.012
    elif frame:
        left, right, top, bottom = rng.uniform(0.002, 0.014, 4)
        bottom += 0.02 * rng.uniform()
    else:
        left, right = rng.uniform(0.02, 0.05, 2)
        top, bottom = rng.uniform(0.035, 0.06), rng.uniform(0.025, 0.06)
    room_x, room_y = width * (1 - left - right), height * (1 - top - bottom)
    half_height = min(room_y, room_x / aspect) / 2
    half_width = half_height * aspect
    if case.border == "device":
        # The device fills its picture; only the aspect of the window follows the picture's.
        half_width, half_height = room_x / 2, room_y / 2
    x = left * width + room_x / 2 + (room_x / 2 - half_width) * rng.uniform(-1, 1)
    y = top * height + room_y / 2 + (room_y / 2 - half_height) * rng.uniform(-1, 1)
    return Window(
        height=height,
        width=width,
        form="frame" if frame else "oval",
        centre=(float(x), float(y)),
        half_width=float(half_width),
        half_height=float(half_height),
        exponent=float(rng.uniform(4.5, 6.5) if frame else rng.uniform(2.05, 2.7)),
        taper=float(rng.uniform(0.02, 0.07) if frame else rng.uniform(0.0, 0.02)),
        cut=(float(rng.uniform(1.02, 1.05)), float(rng.uniform(1.05, 1.14))),
    )
