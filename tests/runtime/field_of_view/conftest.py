"""Synthetic pictures whose aperture is known, and the measures all tests here share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import FieldOfView

Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Field = NDArray[np.float64]


@dataclass(frozen=True)
class Picture:
    """A picture and its true aperture."""

    image: Image
    aperture: Mask

    @property
    def box(self) -> tuple[int, int, int, int]:
        rows, columns = np.flatnonzero(self.aperture.any(1)), np.flatnonzero(self.aperture.any(0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True)
class Agreement:
    """How well an answer agrees with what was expected."""

    mask_iou: float
    furthest_side: float
    """Largest shift of a side of the box, as a part of the expected width or height."""


def agreement(found: FieldOfView, mask: Mask, box: tuple[int, int, int, int]) -> Agreement:
    union = np.count_nonzero(found.mask | mask)
    x0, y0, x1, y1 = box
    shifts = np.abs(np.subtract(found.box, box)) / [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
    return Agreement(np.count_nonzero(found.mask & mask) / union, float(shifts.max()))


def oval(height: int, width: int, box: tuple[float, float, float, float], power: float) -> Field:
    """(H, W) float: below 1 inside the superellipse that fills a box."""
    x0, y0, x1, y1 = box
    x = np.abs((np.arange(width) + 0.5 - (x0 + x1) / 2) / ((x1 - x0) / 2))
    y = np.abs((np.arange(height) + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2))
    return np.asarray((x[None] ** power + y[:, None] ** power) ** (1 / power), np.float64)


def retina(distance: Field, rng: np.random.Generator, colour: tuple[float, float, float]) -> Field:
    """(H, W, 3) float: a vignetted background with patches, a bright disc and dark vessels."""
    height, width = distance.shape
    patches = cv2.resize(rng.uniform(0.75, 1.1, (7, 9)), (width, height))
    light = patches * (1 - 0.4 * np.clip(distance, 0, 1) ** 2)
    y, x = np.mgrid[:height, :width] / height
    disc_x, disc_y = 0.6 * width / height, 0.5
    light += 1.1 * np.exp(-((x - disc_x) ** 2 + (y - disc_y) ** 2) / 0.004)
    vessels = np.zeros((height, width), np.float32)
    for turn in rng.uniform(0, 2 * np.pi, 9):
        along = np.linspace(0, 1.2, 40)
        bend = turn + rng.normal(0, 0.5) * along
        points = np.stack([disc_x + along * np.cos(bend), disc_y + along * np.sin(bend)], 1)
        thick = max(1, round(0.01 * height))
        cv2.polylines(
            vessels, [(points * height).astype(np.int32)], isClosed=False, color=1, thickness=thick
        )
    shade = 1 - 0.45 * cv2.GaussianBlur(vessels, (0, 0), max(0.5, 0.004 * height))
    return np.asarray((light * shade)[..., None] * np.array(colour), np.float64)


def photographed(light: Field, rng: np.random.Generator, quality: int | None) -> Image:
    image = np.clip(light + rng.normal(0, 2, light.shape), 0, 255).astype(np.uint8)
    if quality is None:
        return image
    return compressed(image, quality)


def compressed(image: Image, quality: int) -> Image:
    """What a picture looks like once saved as JPEG."""
    _, coded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1])


def in_black(
    seed: int, height: int = 360, width: int = 450, power: float = 2.6, quality: int | None = 90
) -> Picture:
    """An ultra-widefield window of two-laser colour in a black surround of random margins."""
    rng = np.random.default_rng(seed)
    left, top = rng.uniform(0.0, 0.15, 2) * (width, height)
    right, bottom = (1 - rng.uniform(0.0, 0.15, 2)) * (width, height)
    distance = oval(height, width, (left, top, right, bottom), power)
    light = retina(distance, rng, (120, 110, 5))
    light[distance > 1] = rng.uniform(0, 4)
    return Picture(photographed(light, rng, quality), distance <= 1)


def between_lids(
    seed: int, height: int = 360, width: int = 450, quality: int | None = 90
) -> Picture:
    """A window between bright lids, with a dark line along the instrument's rim."""
    rng = np.random.default_rng(seed)
    margins = rng.uniform(0.02, 0.05, 4) * (width, height, width, height)
    box = (margins[0], margins[1], width - margins[2], height - margins[3])
    distance = oval(height, width, box, rng.uniform(2.1, 2.7))
    light = retina(distance, rng, (110, 100, 5))
    skin = np.interp(distance, [1.0, 1.012, 1.03, 1.1, 1.5], [8, 12, 150, 175, 130])
    skin *= cv2.resize(rng.uniform(0.85, 1.15, (4, 5)), (width, height))
    outside = distance > 1
    light[outside] = skin[outside, None] * np.array([0.85, 1.1, 0.03])
    return Picture(photographed(light, rng, quality), distance <= 1)


def fundus(
    seed: int,
    height: int = 400,
    width: int = 560,
    *,
    surround: float = 0.0,
    cut: float = 0.0,
    letter: bool = False,
) -> Picture:
    """An ordinary fundus photograph: a disc, perhaps cut above and below, in a dark frame."""
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0.3, 0.47) * height
    x, y = width / 2 + rng.uniform(-0.06, 0.06) * width, height / 2
    distance = oval(height, width, (x - radius, y - radius, x + radius, y + radius), 2)
    rows = np.abs(np.arange(height) + 0.5 - y) <= (1 - cut) * radius
    aperture = (distance <= 1) & rows[:, None]
    light = retina(distance, rng, (170, 85, 40))
    light[~aperture] = surround
    if letter:
        where = (round(0.9 * width), round(0.12 * height))
        cv2.putText(ink := np.zeros((height, width), np.uint8), "R", where, 0, 0.8, 200, 2)
        light = np.maximum(light, ink[..., None])
    return Picture(photographed(light, rng, 92), aperture)


@pytest.fixture(scope="session")
def draw_in_black() -> Callable[..., Picture]:
    return in_black


@pytest.fixture(scope="session")
def draw_between_lids() -> Callable[..., Picture]:
    return between_lids


@pytest.fixture(scope="session")
def draw_fundus() -> Callable[..., Picture]:
    return fundus


@pytest.fixture(scope="session")
def compress() -> Callable[[Image, int], Image]:
    return compressed


@pytest.fixture(scope="session")
def measure() -> Callable[[FieldOfView, Mask, tuple[int, int, int, int]], Agreement]:
    return agreement
