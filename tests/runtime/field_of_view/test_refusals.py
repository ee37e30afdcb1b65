"""Pictures without a field of view are refused, each with its reason."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.errors import NoFieldOfView, UsageError

Image = NDArray[np.uint8]


def plain(height: int, width: int, grey: int) -> Image:
    return np.full((height, width, 3), grey, np.uint8)


def noise(height: int, width: int, low: int, high: int, channels: int) -> Image:
    rng = np.random.default_rng(height + width)
    drawn = rng.integers(low, high, (height, width, channels)).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(drawn, (height, width, 3)))


def page(height: int, width: int, ink: int, paper: int) -> Image:
    sheet = plain(900, 700, paper)
    for y in range(60, 880, 30):
        cv2.putText(sheet, "A page of a report with words", (30, y), 0, 1.1, (ink,) * 3, 2)
    return np.asarray(cv2.resize(sheet, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (plain(1, 1, 90), r"1 x 1 pixels, at least 32 a side"),
        (plain(31, 900, 90), r"900 x 31 pixels, at least 32 a side"),
        (plain(300, 400, 0), r"picture is black .* grey level 0 of 255"),
        (plain(300, 400, 4), r"picture is black .* grey level 4 of 255"),
        (noise(300, 400, 0, 6, 3), r"picture is black"),
        (plain(300, 400, 255), r"picture is blank"),
        (plain(300, 400, 90), r"picture is blank"),
        (noise(64, 64, 0, 256, 1), r"picture is noise"),
        (noise(300, 400, 0, 256, 1), r"picture is noise"),
        (noise(300, 400, 0, 256, 3), r"picture is noise"),
        (noise(1600, 1600, 0, 256, 1), r"picture is noise"),
        (page(900, 700, ink=20, paper=255), r"most of the picture is white"),
        (page(225, 175, ink=20, paper=245), r"most of the picture is white"),
        (page(900, 700, ink=255, paper=0), r"no field of view"),
    ],
)
def test_what_is_no_picture_of_a_retina(image: Image, reason: str) -> None:
    with pytest.raises(NoFieldOfView, match=reason) as refusal:
        find_field_of_view(image)
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 7


def test_a_few_small_lights_in_the_dark() -> None:
    image = plain(300, 400, 2)
    for x, y in ((20, 30), (350, 40), (200, 250)):
        image[y : y + 9, x : x + 9] = 200
    with pytest.raises(NoFieldOfView, match="is lit in large pieces, at least 2 % is needed"):
        find_field_of_view(image)


def test_a_bright_sliver() -> None:
    image = plain(400, 400, 0)
    image[:, 100:110] = np.linspace(60, 250, 400).astype(np.uint8)[:, None, None]
    with pytest.raises(NoFieldOfView, match="too small or too narrow"):
        find_field_of_view(image)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((40, 40), np.uint8),
        np.zeros((40, 40, 4), np.uint8),
        np.zeros((40, 40, 3), np.float32),
        np.zeros((40, 40, 3), np.uint16),
    ],
)
def test_arrays_of_another_kind(image: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"\(H, W, 3\) uint8 RGB is needed"):
        find_field_of_view(image)
