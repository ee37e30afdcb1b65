"""The sheet an eye is painted on, before a camera looks at it.

Lengths are in *eye units*: 1 is half the height of the camera's window. The fovea of a right eye
lies at the origin, its disc at about (+0.3, 0); a left eye is painted as a right one and mirrored
when photographed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from realmnet_benchmarks.phantoms.fields import FloatPlane, Points, smooth_field
from realmnet_benchmarks.phantoms.streams import stream

HALF_WIDTH: Final = 1.62
HALF_HEIGHT: Final = 1.24
_DRAFT_PX: Final = 240.0
_CACHED_TEXTURE_PX: Final = 600.0
_SHIFT: Final = 4  # fractional bits of OpenCV's drawing coordinates

Slices = tuple[slice, slice]


_TURN_STEPS: Final = 256


@dataclass(slots=True)
class Sheet:
    """Geometry of the sheet at one scale.

    Attributes:
        px: pixels per eye unit.
    """

    px: float

    def draft(self) -> Sheet:
        """The same sheet at a scale at which slow changes cost little."""
        return Sheet(min(self.px, _DRAFT_PX))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return round(2 * HALF_HEIGHT * self.px), round(2 * HALF_WIDTH * self.px)

    def to_px(self, points: Points) -> Points:
        """Eye units (..., 2) -> pixel coordinates (..., 2), x first."""
        offset = np.array([HALF_WIDTH, HALF_HEIGHT], np.float32)
        return (points + offset) * np.float32(self.px)

    def random(self, rng: np.random.Generator, wavelength: float) -> FloatPlane:
        """Smooth random field over the sheet; `wavelength` in eye units."""
        rows = max(1, round(2 * HALF_HEIGHT / wavelength))
        columns = max(1, round(2 * HALF_WIDTH / wavelength))
        return smooth_field(rng, *self.shape, rows, columns)

    def texture(self, rng: np.random.Generator) -> FloatPlane:
        """Fine texture of the retina, standard deviation about 0.06: (H, W) float32.

        All eyes share one texture per scale, each turned and shifted in its own way: drawing it
        anew for every eye would cost as much as the rest of the background.
        """
        plane = _texture(self.px) if self.px < _CACHED_TEXTURE_PX else _paint_texture(self)
        flips = rng.integers(0, 2, 2) * 2 - 1
        shift = (int(rng.uniform() * self.shape[0]), int(rng.uniform() * self.shape[1]))
        return np.roll(plane[:: flips[0], :: flips[1]], shift, (0, 1))

    def grid(self) -> tuple[FloatPlane, FloatPlane]:
        """Eye coordinates of the pixels: x as (1, W) and y as (H, 1) float32."""
        return self._axes((slice(0, self.shape[0]), slice(0, self.shape[1])))

    def crop(self, centre: tuple[float, float], reach: float) -> Slices:
        """Rows and columns of the square `centre` +- `reach` (eye units), inside the sheet."""
        x, y = (float(v) for v in self.to_px(np.array(centre, np.float32)))
        r = reach * self.px + 1
        height, width = self.shape
        return (
            slice(max(0, int(y - r)), min(height, int(y + r) + 1)),
            slice(max(0, int(x - r)), min(width, int(x + r) + 1)),
        )

    def polar(
        self, window: Slices, centre: tuple[float, float], stretch_y: float = 1.0
    ) -> tuple[FloatPlane, FloatPlane]:
        """Distance (eye units) and angle (radians, 0..2 pi) of the pixels from a centre."""
        x, y = self._axes(window)
        dx = np.broadcast_to(x - np.float32(centre[0]), (y.shape[0], x.shape[1]))
        dy = np.broadcast_to((y - np.float32(centre[1])) * np.float32(stretch_y), dx.shape)
        radius, angle = cv2.cartToPolar(np.ascontiguousarray(dx), np.ascontiguousarray(dy))
        return radius.astype(np.float32, copy=False), angle.astype(np.float32, copy=False)

    def shape_mask(self, window: Slices, outline: Points, softness: float = 0.0) -> FloatPlane:
        """Fill a closed outline inside a crop.

        Args:
            window: the crop.
            outline: (N, 2) eye units.
            softness: blur radius of its edge, eye units.

        Returns:
            (h, w) float32 in 0..1.
        """
        rows, columns = window
        height, width = rows.stop - rows.start, columns.stop - columns.start
        plane = np.zeros((height, width), np.uint8)
        if height > 0 and width > 0:
            corner = np.array([columns.start, rows.start], np.float32)
            points = np.round((self.to_px(outline) - corner) * (1 << _SHIFT)).astype(np.int32)
            cv2.fillPoly(plane, [points], 255, cv2.LINE_AA, _SHIFT)
        soft = plane.astype(np.float32) * np.float32(1 / 255)
        return blurred(soft, softness * self.px)

    def _axes(self, window: Slices) -> tuple[FloatPlane, FloatPlane]:
        rows, columns = window
        x = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5) / self.px - HALF_WIDTH
        y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5) / self.px - HALF_HEIGHT
        return x[None].astype(np.float32), y[:, None].astype(np.float32)


@dataclass(slots=True)
class Canvas(Sheet):
    """Reflectance of both lasers over the whole eye, and the truth of what was painted.

    Attributes:
        red: (H, W) float32, about 0..1.
        green: (H, W) float32, about 0..1.
        masks: sign -> (H, W) uint8, 255 where it is.
    """

    red: FloatPlane = field(init=False)
    green: FloatPlane = field(init=False)
    masks: dict[str, np.ndarray] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.red = np.full(self.shape, 0.4, np.float32)
        self.green = np.full(self.shape, 0.4, np.float32)

    def mark(self, name: str, window: Slices, mask: FloatPlane, threshold: float = 0.5) -> None:
        """Add the pixels of a crop above a threshold to the truth of a sign."""
        if name not in self.masks:
            self.masks[name] = np.zeros(self.shape, np.uint8)
        self.masks[name][window][mask > threshold] = 255

    def blend(
        self, window: Slices, mask: FloatPlane, red: FloatPlane | float, green: FloatPlane | float
    ) -> None:
        """Replace reflectance by (red, green) in proportion to a mask of 0..1."""
        for plane, value in ((self.red, red), (self.green, green)):
            part = plane[window]
            part += (value - part) * mask

    def shade(self, window: Slices, mask: FloatPlane, red: float, green: float) -> None:
        """Multiply reflectance by 1 + mask * (red, green)."""
        for plane, value in ((self.red, red), (self.green, green)):
            plane[window] *= np.float32(1.0) + np.float32(value) * mask


@lru_cache(maxsize=2)
def _texture(px: float) -> FloatPlane:
    return _paint_texture(Sheet(px))


def _paint_texture(sheet: Sheet) -> FloatPlane:
    rng = stream("texture")
    plane = np.zeros(sheet.shape, np.float32)
    # The finest grain exists only where the scale can show it.
    octaves = ((0.05, 0.035), (0.017, 0.04), (0.006, 0.05), (0.0022, 0.08))
    for wavelength, amount in octaves[: 4 if sheet.px > _CACHED_TEXTURE_PX else 3]:
        cv2.scaleAdd(sheet.random(rng, wavelength), amount, plane, plane)
    return plane


def around(angle: FloatPlane, values: Points) -> FloatPlane:
    """Look up a periodic function of the angle.

    Args:
        angle: any shape, radians in 0..2 pi.
        values: (256,) float32 at equal angles from 0.

    Returns:
        Linear between the values; float32 like `angle`.
    """
    at = angle * np.float32(_TURN_STEPS / (2 * np.pi))
    low = at.astype(np.uint8)
    at -= np.floor(at)
    rise = (np.roll(values, -1) - values).astype(np.float32)
    base = cv2.LUT(low, values.astype(np.float32))
    base += cv2.LUT(low, rise) * at
    return base.astype(np.float32, copy=False)


def blurred(plane: FloatPlane, sigma_px: float) -> FloatPlane:
    """Gaussian blur: none below a quarter of a pixel, on a coarse copy where it is wide."""
    if sigma_px < 0.25 or plane.size == 0:
        return plane
    factor = int(sigma_px // 4)
    if factor < 2 or min(plane.shape) < 4 * factor:
        return cv2.GaussianBlur(plane, (0, 0), sigma_px).astype(np.float32, copy=False)
    height, width = plane.shape[:2]
    small = cv2.resize(plane, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / factor)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    return large.astype(np.float32, copy=False)


def draw_curves(
    shape: tuple[int, int],
    curves: Points,
    widths: Points,
    values: Points,
    chunk: int,
) -> FloatPlane:
    """Draw tapering curves, thin ones below thick ones.

    Args:
        shape: rows and columns of the plane.
        curves: (N, K, 2) pixel coordinates.
        widths: (N, K) pixels; below one pixel a line is drawn fainter instead of thinner.
        values: (N,) brightness 0..1.
        chunk: points per piece of constant width.

    Returns:
        `shape` float32 in 0..1.
    """
    plane = np.zeros(shape, np.uint8)
    fixed = np.round(curves * (1 << _SHIFT)).astype(np.int32)
    pieces: dict[tuple[int, int], list[np.ndarray]] = {}
    count = curves.shape[1]
    for start in range(0, count - 1, chunk):
        stop = min(start + chunk + 1, count)
        mean = widths[:, start:stop].mean(1)
        thick = np.maximum(1, np.round(mean)).astype(int)
        grey = np.round(values * np.minimum(1.0, mean) * 31).astype(int)
        for line in range(len(curves)):
            if grey[line] > 0:
                key = (int(thick[line]), int(grey[line]))
                pieces.setdefault(key, []).append(fixed[line, start:stop])
    for thick_px, level in sorted(pieces):
        cv2.polylines(
            plane, pieces[thick_px, level], False, level * 8, thick_px, cv2.LINE_AA, _SHIFT
        )
    return plane.astype(np.float32) * np.float32(1 / 248)
