"""Phantoms are gradable as they are drawn, at any size, and not once they are spoilt."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_benchmarks.phantoms import BALANCED, draw_population, render
from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.quality import DEFAULT_LIMITS, judge, measure_picture

Image = NDArray[np.uint8]

CASES = draw_population(8, 31, BALANCED, images_per_patient=1)


def kinds(image: Image) -> set[str]:
    measures = measure_picture(image, find_field_of_view(image))
    return {reason.kind for reason in judge(measures, DEFAULT_LIMITS)}


@pytest.fixture(scope="module")
def pictures() -> list[Image]:
    return [render(case, 240, 300).image for case in CASES]


@pytest.mark.parametrize(("height", "width"), [(96, 120), (128, 160), (240, 300)])
def test_a_phantom_is_gradable_at_any_size(height: int, width: int) -> None:
    assert [kinds(render(case, height, width).image) for case in CASES[:4]] == [set()] * 4


def darker(image: Image) -> Image:
    return (image * 0.2).astype(np.uint8)


def lighter(image: Image) -> Image:
    return np.clip(image * 3.0, 0, 255).astype(np.uint8)


def out_of_focus(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 3.0), np.uint8)


def hazy(image: Image) -> Image:
    inside = find_field_of_view(image).mask
    veil = image[inside].mean(axis=0)
    return np.where(inside[..., None], 0.12 * image + 0.88 * veil, image).astype(np.uint8)


def grey(image: Image) -> Image:
    plane = image.max(axis=2)
    return np.repeat(plane[..., None], 3, axis=2)


def fundus(image: Image) -> Image:
    plane = image.max(axis=2).astype(float)
    return np.stack([plane, plane * 0.5, plane * 0.25], axis=2).astype(np.uint8)


def framed(image: Image) -> Image:
    height, width = image.shape[:2]
    whole = np.zeros((3 * height, 3 * width, 3), np.uint8)
    whole[height : 2 * height, width : 2 * width] = image
    return whole


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (darker, "too_dark"),
        (lighter, "burnt"),
        (out_of_focus, "blurred"),
        (hazy, "blurred"),
        (grey, "angiogram"),
        (fundus, "fundus_photograph"),
        (framed, "aperture_too_small"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_a_spoilt_phantom_is_not(pictures: list[Image], spoil: object, kind: str) -> None:
    for picture in pictures:
        assert kind in kinds(spoil(picture))  # type: ignore[operator]
