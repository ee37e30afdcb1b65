"""What can be measured of a decoded picture: pure functions, a few milliseconds together.

All but the first two look at one small copy of the aperture, its box reduced to a fixed square by
area. So they say the same of a full and of a scaled decode, as long as the aperture has 256 pixels
a side in both: within 6 % of the value, or 0.004 where that is more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import FieldOfView

SIDE: Final = 256
"""Side of the copy, pixels: near the 224 to 384 that models see, so what it cannot tell from
sharp they hardly can, and small enough to cost little."""

_SMALLEST_SIDE: Final = 64
_TILES: Final = 8
_BURNT: Final = 250
# The rim is crisp in a blurred picture too, and lashes cross it.
_INNER: Final = 0.8
_CENTRE: Final = 0.6
_FINE_PX, _LEVEL_PX = 1.0, 8.0
_FLOOR: Final = 4.0
# Of a copy of 256 pixels; of a smaller one in proportion.
_RIM_PX, _TEXTURE_PX, _DETAIL_PX = 9, 9, 2.0
_DARK, _BRIGHT = 0.25, 1.2
_SMOOTH: Final = 0.05

Plane = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ApertureCopy:
    """The aperture's box, reduced to a square of S pixels a side.

    S is 256; for a smaller box its shorter side, down to 64, since an enlarged picture looks
    blurred.

    Attributes:
        pixels: (S, S, 3) uint8 RGB.
        brightest: (S, S) uint8, the largest channel.
        inside: (S, S) bool, true inside the aperture.
        radius: (S, S) float32 distance from the middle, 1 where the box's ellipse ends.
    """

    pixels: Bytes
    brightest: Bytes
    inside: Mask
    radius: Plane

    @property
    def side(self) -> int:
        """S."""
        return len(self.pixels)

    @property
    def grey(self) -> Plane:
        """(S, S) float32, mean of red and green."""
        red, green = (self.pixels[..., channel].astype(np.float32) for channel in (0, 1))
        return (red + green) / np.float32(2)


def measure_picture(image: Bytes, field_of_view: FieldOfView) -> dict[str, float]:
    """Measure all there is to measure before the network is asked.

    Args:
        image: (H, W, 3) uint8 RGB.
        field_of_view: of this image.

    Returns:
        By name what the functions of these names say: `aperture_share`, `aspect`, `light`,
        `burnt`, `sharpness`, `covered`, `saturation`, `red_share`.
    """
    copy = reduce_aperture(image, field_of_view)
    return {
        "aperture_share": aperture_share(field_of_view),
        "aspect": aspect(field_of_view),
        "light": light(copy),
        "burnt": burnt(copy),
        "sharpness": sharpness(copy),
        "covered": covered(copy),
        "saturation": saturation(copy),
        "red_share": red_share(copy),
    }


def reduce_aperture(image: Bytes, field_of_view: FieldOfView) -> ApertureCopy:
    """Reduce the aperture's box to the square that is measured.

    A mask that fills its box is that of a prepared picture, or of one cut to the retina: then the
    largest ellipse stands for the aperture, since prepared pictures have dark corners.
    """
    x0, y0, x1, y1 = field_of_view.box
    shorter = min(y1 - y0, x1 - x0)
    side = max(_SMALLEST_SIDE, min(SIDE, shorter // _TILES * _TILES))
    # OpenCV's area filter repeats pixels where a side grows.
    how = cv2.INTER_AREA if shorter >= side else cv2.INTER_LINEAR_EXACT
    pixels = np.asarray(cv2.resize(image[y0:y1, x0:x1], (side, side), interpolation=how), np.uint8)
    red, green, blue = cv2.split(pixels)
    brightest = np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)
    mask = field_of_view.mask[y0:y1, x0:x1].view(np.uint8)
    shown = cv2.resize(mask, (side, side), interpolation=cv2.INTER_NEAREST_EXACT)
    inside = np.asarray(shown, np.uint8).view(np.bool_)
    radius = _radius(side)
    if inside.all() or not inside.any():
        inside = radius <= 1.0
    return ApertureCopy(pixels, brightest, inside, radius)


def aperture_share(field_of_view: FieldOfView) -> float:
    """Share of the frame that the aperture takes, 0..1."""
    mask = field_of_view.mask
    return cv2.countNonZero(mask.view(np.uint8)) / mask.size


def aspect(field_of_view: FieldOfView) -> float:
    """Width of the aperture's box over its height; a lid across the aperture makes it large."""
    x0, y0, x1, y1 = field_of_view.box
    return (x1 - x0) / (y1 - y0)


def light(copy: ApertureCopy) -> float:
    """Mean of the brightest channel inside the aperture, 0..1."""
    return float(copy.brightest[copy.inside].mean()) / 255.0


def burnt(copy: ApertureCopy) -> float:
    """Share of the aperture in which a channel is at 250 of 255 or more, so has nothing to say."""
    return float((copy.brightest[copy.inside] >= _BURNT).mean())


def saturation(copy: ApertureCopy) -> float:
    """Share of the light inside the aperture that is not grey, 0..1; 0 for a black aperture.

    Sum of (largest - smallest channel) over sum of the largest channel.
    """
    red, green, blue = cv2.split(copy.pixels)
    palest = np.asarray(cv2.min(cv2.min(red, green), blue), np.uint8)
    most, least = (_sum(plane, copy.inside) for plane in (copy.brightest, palest))
    return (most - least) / most if most else 0.0


def red_share(copy: ApertureCopy) -> float:
    """Red over red and green inside the aperture, 0..1; one half for a black aperture."""
    red, green = (_sum(copy.pixels[..., channel], copy.inside) for channel in (0, 1))
    return red / (red + green) if red + green else 0.5


def sharpness(copy: ApertureCopy) -> float:
    """Contrast of fine detail: median over areas of what a blur of one pixel takes away.

    For each of 8 x 8 areas well inside the aperture, the root mean square of (picture - picture
    blurred by a Gaussian of 1 pixel) over the area's own light, red and green together. Out of
    focus, in haze and behind an opaque lens it falls; light and colour do not enter.

    Returns:
        0 where nothing is to be seen; 0.02 to 0.06 in sharp pictures.
    """
    grey = copy.grey
    fine = grey - _blurred(grey, _FINE_PX)
    level = _blurred(grey, _LEVEL_PX)
    inner = copy.inside & (copy.radius < _INNER)
    weight = _tiles(inner.astype(np.float32))
    # Areas that lie half outside are left out, unless there are no others.
    kept = weight > min(0.9, 0.5 * float(weight.max()))
    if not kept.any():
        return 0.0
    energy = _tiles(np.where(inner, fine * fine, np.float32(0)))[kept] / weight[kept]
    light_there = _tiles(np.where(inner, level, np.float32(0)))[kept] / weight[kept]
    return float(np.median(np.sqrt(energy) / (light_there + _FLOOR)))


def covered(copy: ApertureCopy) -> float:
    """Share of the aperture that a lid or its shadow takes: smooth, and reaching in from the rim.

    Smooth and far darker, or smooth and clearly brighter, than the middle of the aperture; only
    such areas as touch its rim, since haemorrhages and atrophies lie inside. A lid as bright as
    the retina, or one that takes the middle too, is not told from it.

    Returns:
        0..1.
    """
    inside, grey, scale = copy.inside, copy.grey, copy.side / SIDE
    level = cv2.blur(copy.brightest, (5, 5))
    detail = np.abs(grey - _blurred(grey, _DETAIL_PX * scale))
    width = max(3, round(_TEXTURE_PX * scale))
    texture = cv2.blur(detail, (width, width))
    usual, much = np.percentile(copy.brightest[inside & (copy.radius < _CENTRE)], (50, 75))
    smooth = inside & (texture < _SMOOTH * np.maximum(level, np.float32(usual / 2)))
    core = _core(inside, max(3, round(_RIM_PX * scale)))
    areas = (smooth & (level < _DARK * much), smooth & (level > _BRIGHT * usual))
    hidden = sum(_touching(area, inside & ~core) for area in areas)
    return hidden / max(1, int(np.count_nonzero(inside)))


@lru_cache(maxsize=4)
def _radius(side: int) -> Plane:
    u, v = np.meshgrid(*[(np.arange(side) + 0.5) / side * 2.0 - 1.0] * 2)
    radius = np.hypot(u, v).astype(np.float32)
    radius.setflags(write=False)
    return radius


def _core(inside: Mask, width: int) -> Mask:
    """What is left of the aperture without its rim; the edge of the square is a rim too."""
    padded = np.pad(inside, 1).view(np.uint8)
    eroded = cv2.erode(padded, np.ones((width, width), np.uint8))
    return np.asarray(eroded[1:-1, 1:-1], np.uint8).view(np.bool_)


def _touching(area: Mask, rim: Mask) -> int:
    """Number of pixels of the area's connected parts that touch the rim."""
    _, parts = cv2.connectedComponents(area.view(np.uint8))
    sizes = np.bincount(parts.ravel())
    touching = np.unique(parts[area & rim]).astype(np.intp)
    return int(sizes[touching].sum())


def _sum(plane: Bytes, inside: Mask) -> int:
    return int(plane[inside].sum(dtype=np.int64))


def _blurred(plane: Plane, sigma: float) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma), np.float32)


def _tiles(plane: Plane) -> Plane:
    """Mean of each of 8 x 8 areas."""
    tile = len(plane) // _TILES
    return np.asarray(plane.reshape(_TILES, tile, _TILES, tile).mean(axis=(1, 3)), np.float32)
