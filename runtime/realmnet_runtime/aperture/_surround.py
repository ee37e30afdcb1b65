"""The black surround of a picture, and the convex outline of what is lit inside it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.errors import NoFieldOfView

_WORKING_LONG_SIDE = 384
_LEAST_SMOOTHED_SIDE = 256
_SMALLEST_LIT_SHARE = 0.02
_SMALLEST_PART_OF_LARGEST = 0.03
_PART_CELL = 4
_NEIGHBOURHOOD = 9
_NEIGHBOUR_SHARE = 0.6
_BRIGHTEST_BLACK = 12
_DARKEST_SURROUNDS = 8
_BRIGHTEST_SURROUND = 48
_LEVEL_TOLERANCE = 4
_LEAST_ABOVE_SURROUND = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class WorkingCopy:
    """A part of a picture, reduced by a whole number.

    Attributes:
        picture: (h, w, 3) uint8 RGB, the reduced part, slightly smoothed.
        luminance: (h, w) uint8, the largest of its three channels.
        factor: side in pixels of the square of the given picture that one pixel stands for.
        origin: (x, y) of the part's corner in pixels of the given picture.
        size: (width, height) of the part in pixels of the given picture.
    """

    picture: NDArray[np.uint8]
    luminance: NDArray[np.uint8]
    factor: int
    origin: tuple[int, int]
    size: tuple[int, int]

    def cut(self, low: NDArray[np.float32], high: NDArray[np.float32]) -> WorkingCopy:
        """The part inside a box, at the same reduction.

        Args:
            low: (x, y) of the box's first corner in pixels of the given picture.
            high: (x, y) of its last corner.
        """
        x0, y0 = np.maximum((low - self.origin) // self.factor, 0).astype(int)
        x1, y1 = np.ceil((high - self.origin) / self.factor).astype(int)
        width, height = np.minimum((x1 * self.factor, y1 * self.factor), self.size) - (
            x0 * self.factor,
            y0 * self.factor,
        )
        return WorkingCopy(
            picture=self.picture[y0:y1, x0:x1],
            luminance=self.luminance[y0:y1, x0:x1],
            factor=self.factor,
            origin=(self.origin[0] + int(x0) * self.factor, self.origin[1] + int(y0) * self.factor),
            size=(int(width), int(height)),
        )


def reduce(image: NDArray[np.uint8], origin: tuple[int, int] = (0, 0)) -> WorkingCopy:
    """Average a picture over squares so that its longer side has 384 to 767 pixels.

    A picture that is smaller stays as it is.

    Args:
        image: (H, W, 3) uint8 RGB.
        origin: where the image's corner lies in the picture it was cut from, (x, y) pixels.
    """
    height, width = image.shape[:2]
    # Whole-number reduction averages noise out evenly and is several times faster than any other.
    factor = min(_whole_factor(height, width), height, width)
    rows, columns = height // factor, width // factor
    whole = image[: rows * factor, : columns * factor]
    small = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    if max(rows, columns) >= _LEAST_SMOOTHED_SIDE:
        # In smaller pictures the instrument's rim is a line of one pixel and would be lost.
        small = np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.uint8)
    return WorkingCopy(
        picture=small,
        luminance=brightest_channel(small),
        factor=factor,
        origin=origin,
        size=(width, height),
    )


def brightest_channel(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest channel of each pixel; many times faster than `max` along the last axis.

    Args:
        picture: (h, w, 3) uint8.
    """
    red, green, blue = cv2.split(picture)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def lit_part(image: NDArray[np.uint8]) -> tuple[WorkingCopy, NDArray[np.float32]]:
    """The convex outline of the lit part of a picture, and the working copy it was found on.

    Where wide black margins would leave the lit part few pixels, it is cut out and looked at
    again, so that the answer does not depend on the margins.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        The working copy, and the outline, (N, 2) float32, x and y in pixels of the image; pixel i
        covers i to i + 1.

    Raises:
        NoFieldOfView: nothing, or next to nothing, is lit.
    """
    copy = reduce(image)
    outline = lit_outline(copy)
    margin = 3 * copy.factor
    x0, y0 = np.maximum(outline.min(axis=0).astype(int) - margin, 0)
    x1, y1 = np.ceil(outline.max(axis=0)).astype(int) + margin
    part = image[y0:y1, x0:x1]
    if _whole_factor(*part.shape[:2]) < copy.factor:
        copy = reduce(part, origin=(int(x0), int(y0)))
        outline = lit_outline(copy)
    return copy, outline


def _whole_factor(height: int, width: int) -> int:
    """The largest power of two that leaves the longer side at least `_WORKING_LONG_SIDE`.

    JPEGs are decoded at halves, quarters and eighths: with powers of two each of these decodes is
    averaged over the same squares as the whole picture, and so gives the same box.
    """
    return 1 << (max(1, max(height, width) // _WORKING_LONG_SIDE).bit_length() - 1)


def surround_threshold(luminance: NDArray[np.uint8]) -> float:
    """The grey level above which a pixel is lit rather than part of a black surround.

    Args:
        luminance: (h, w) uint8.
    """
    sides = (luminance[:2], luminance[-2:], luminance[:, :2], luminance[:, -2:])
    ring = np.concatenate([side.ravel() for side in sides])
    level = grey_quantile(ring, 0.10)
    flat = ring[np.abs(ring.astype(np.int16) - level) <= _LEVEL_TOLERANCE]
    spread = float(flat.std())
    # A dark vignette reaches the picture's edge too, but unlike a surround it is nowhere level.
    level_enough = flat.size >= 0.2 * ring.size and spread <= 2.0
    if level > _DARKEST_SURROUNDS and not (level <= _BRIGHTEST_SURROUND and level_enough):
        level, spread = 0, 0.0
    sparse = luminance[::4, ::4]
    lit = sparse[sparse > level + 2]
    bright = grey_quantile(lit, 0.98) if lit.size else 0
    # Optos surrounds sit near grey level 4 and compression stirs them by a few more; angiograms
    # are so dim that the same threshold would cut into them.
    least = float(np.clip(bright / 12.0, 3.0, 10.0))
    return max(least, level + max(_LEAST_ABOVE_SURROUND, 4.0 * spread)) if level > 4 else least


def grey_quantile(greys: NDArray[np.uint8], share: float) -> int:
    """The least grey level that at least a share of the pixels do not exceed.

    Args:
        greys: uint8, at least one.
        share: 0..1.
    """
    not_brighter = np.bincount(greys.ravel(), minlength=256).cumsum()
    return int(np.searchsorted(not_brighter, share * greys.size))


def lit_outline(copy: WorkingCopy) -> NDArray[np.float32]:
    """The convex outline of the lit part of a picture.

    Small separate lights, such as a burnt-in letter beside the disc, are left out.

    Args:
        copy: the picture's working copy.

    Returns:
        (N, 2) float32, x and y in pixels of the given picture; pixel i covers i to i + 1.

    Raises:
        NoFieldOfView: nothing, or next to nothing, is lit.
    """
    threshold = surround_threshold(copy.luminance)
    # Compression rings a few grey levels into the surround beside a bright edge, so a pixel must
    # also be no stranger to its neighbourhood; a straight step then falls between its two pixels.
    around = cv2.blur(copy.luminance, (_NEIGHBOURHOOD, _NEIGHBOURHOOD))
    floor = np.asarray(cv2.convertScaleAbs(around, alpha=_NEIGHBOUR_SHARE), np.uint8)
    above = (copy.luminance > np.maximum(floor, np.uint8(threshold))).view(np.uint8)
    lit = cv2.morphologyEx(above, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    region = _without_small_parts(np.asarray(lit, np.uint8))
    brightest = int(copy.luminance.max())
    if brightest <= _BRIGHTEST_BLACK:
        raise NoFieldOfView(
            f"no field of view: the picture is black (its brightest area is at grey level "
            f"{brightest} of 255, a retina needs more than {_BRIGHTEST_BLACK})"
        )
    share = cv2.countNonZero(region) / region.size
    if share < _SMALLEST_LIT_SHARE:
        raise NoFieldOfView(
            f"no field of view: {100 * share:.1f} % of the picture is lit in large pieces, "
            f"at least {100 * _SMALLEST_LIT_SHARE:.0f} % is needed"
        )
    rows = np.flatnonzero(region.any(axis=1))
    kept = region[rows].view(np.bool_)
    first = kept.argmax(axis=1)
    last = region.shape[1] - kept[:, ::-1].argmax(axis=1)
    corners = np.concatenate(
        [np.stack([x, y], axis=1) for x in (first, last) for y in (rows, rows + 1)]
    ).astype(np.float32)
    outline = cv2.convexHull(corners)[:, 0].astype(np.float32)
    # The strip that whole-number reduction drops at the right and below belongs to its neighbour.
    for axis, (reduced, full) in enumerate(zip(region.shape[::-1], copy.size, strict=True)):
        outline[:, axis] = np.where(
            outline[:, axis] >= reduced, full, outline[:, axis] * copy.factor
        )
    return outline + np.array(copy.origin, np.float32)


def _without_small_parts(lit: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # Parts are told apart on a sixteenth of the pixels, which takes a fraction of the time.
    cell = np.ones((_PART_CELL, _PART_CELL), dtype=np.uint8)
    spread = np.asarray(cv2.dilate(lit, cell, anchor=(0, 0)), np.uint8)
    small = np.ascontiguousarray(spread[::_PART_CELL, ::_PART_CELL])
    _, labels, stats, _ = cv2.connectedComponentsWithStats(small, connectivity=4)
    parts, areas = np.asarray(labels, np.int32), stats[1:, cv2.CC_STAT_AREA]
    if len(areas) < 2:
        return lit
    kept = np.zeros(len(areas) + 1, np.uint8)
    kept[1:] = areas >= _SMALLEST_PART_OF_LARGEST * areas.max()
    height, width = lit.shape
    whole = kept[parts].repeat(_PART_CELL, axis=0).repeat(_PART_CELL, axis=1)
    return lit & whole[:height, :width]
