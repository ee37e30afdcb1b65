"""Measures against their definitions, laws and the two decodes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import FieldOfView, find_field_of_view
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.quality import measure_picture
from realmnet_runtime.quality import measures as room

Image = NDArray[np.uint8]


def whole(height: int, width: int) -> FieldOfView:
    return FieldOfView((0, 0, width, height), np.ones((height, width), bool))


def ellipse(height: int, width: int) -> FieldOfView:
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(
        mask, (width // 2, height // 2), (width // 2 - 8, height // 2 - 8), 0, 0, 360, 1, -1
    )
    x, y, across, down = cv2.boundingRect(mask)
    return FieldOfView((x, y, x + across, y + down), mask.astype(bool))


def measured(image: Image, name: str, field: FieldOfView | None = None) -> float:
    return measure_picture(image, field or find_field_of_view(image))[name]


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_one_colour_measures_by_definition(colour: tuple[int, int, int]) -> None:
    found = measure_picture(np.full((70, 90, 3), colour, np.uint8), whole(70, 90))
    red, green, _ = colour
    most = max(colour)
    assert found["light"] == pytest.approx(most / 255)
    assert found["saturation"] == pytest.approx((most - min(colour)) / most if most else 0)
    assert found["red_share"] == pytest.approx(red / (red + green) if red + green else 0.5)
    assert found["burnt"] == (most >= 250)
    assert found["sharpness"] == pytest.approx(0, abs=1e-6)
    assert found["aspect"] == pytest.approx(90 / 70)
    assert found["aperture_share"] == 1


def test_only_the_aperture_counts(eye: Image) -> None:
    field = find_field_of_view(eye)
    painted = eye.copy()
    # One pixel of the copy is two of the picture, and what is at the rim is mixed.
    outside = cv2.dilate(field.mask.view(np.uint8), np.ones((9, 9), np.uint8)) == 0
    painted[outside] = (0, 0, 255)
    for name in ("light", "burnt", "saturation", "red_share", "sharpness"):
        assert measured(painted, name, field) == pytest.approx(measured(eye, name, field), abs=5e-3)


@pytest.mark.parametrize("side", [300, 760])
def test_more_blur_is_less_sharp(eye: Image, side: int) -> None:
    image = np.asarray(cv2.resize(eye, (side * 4 // 3, side)), np.uint8)
    field = find_field_of_view(image)
    spread = (field.box[2] - field.box[0]) / 256
    found = [
        measured(
            np.asarray(cv2.GaussianBlur(image, (0, 0), s * spread), np.uint8), "sharpness", field
        )
        for s in (0.3, 0.6, 1.0, 1.5, 2.5, 4.0)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > 3 * found[-1]


@given(st.floats(0.25, 1.0))
def test_less_light_is_darker_and_no_less_sharp(factor: float) -> None:
    random = np.random.default_rng(3)
    plane = cv2.resize(random.random((100, 100), np.float32), (300, 300))
    image = np.stack([plane * 200, plane * 150, plane * 8], axis=2)
    field = ellipse(300, 300)
    bright, dim = (np.rint(image * f).astype(np.uint8) for f in (1.0, factor))
    assert measured(dim, "light", field) == pytest.approx(
        factor * measured(bright, "light", field), abs=0.004
    )
    assert measured(dim, "sharpness", field) == pytest.approx(
        measured(bright, "sharpness", field), rel=0.15
    )


def test_more_light_burns_more(eye: Image) -> None:
    field = find_field_of_view(eye)
    found = [
        measured(np.clip(eye * f, 0, 255).astype(np.uint8), "burnt", field)
        for f in (1.0, 1.3, 1.7, 2.5, 4.0)
    ]
    assert found == sorted(found)
    assert found[0] < 0.05
    assert found[-1] > 0.5


@pytest.mark.parametrize("colour", [(230, 225, 12), (4, 3, 2)], ids=["lid", "shadow"])
def test_a_lid_measures_the_share_it_takes(eye: Image, colour: tuple[int, int, int]) -> None:
    field = find_field_of_view(eye)
    x0, y0, x1, y1 = field.box
    found, truth = [], []
    for part in (0.0, 0.15, 0.3, 0.45):
        spoilt = eye.copy()
        cut = round(y1 - part * (y1 - y0))
        spoilt[cut:y1, x0:x1][field.mask[cut:y1, x0:x1]] = colour
        found.append(measured(spoilt, "covered", field))
        truth.append(field.mask[cut:].sum() / field.mask.sum())
    assert found == sorted(found)
    # What is left of the middle sets what counts as dark and bright.
    assert np.subtract(found, truth) == pytest.approx(0, abs=0.1)


def test_what_lies_inside_is_no_lid(eye: Image) -> None:
    spoilt = eye.copy()
    cv2.circle(spoilt, (330, 245), 40, (6, 3, 2), -1)
    field = find_field_of_view(eye)
    assert measured(spoilt, "covered", field) < 0.03 + measured(eye, "covered", field)


def test_dark_corners_of_a_prepared_picture_are_no_lid(eye: Image) -> None:
    x0, y0, x1, y1 = find_field_of_view(eye).box
    prepared = np.asarray(cv2.resize(eye[y0:y1, x0:x1], (224, 224)), np.uint8)
    assert measured(prepared, "covered", whole(224, 224)) < 0.1


def test_a_band_is_wide() -> None:
    mask = np.zeros((300, 400), bool)
    mask[100:180, 20:380] = True
    band = FieldOfView((20, 100, 380, 180), mask)
    assert measured(np.zeros((300, 400, 3), np.uint8), "aspect", band) == 4.5


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (40, 700), (33, 64)])
def test_any_size_is_measured(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 255, (*size, 3), np.uint8)
    found = measure_picture(image, whole(*size))
    assert all(np.isfinite(value) for value in found.values())


def scaled_decode_agrees(path: Path, size: int) -> None:
    full, scaled = (read_image(path, model_size=s) for s in (None, size))
    assert scaled.shape[0] < full.shape[0]
    a, b = (measure_picture(image, find_field_of_view(image)) for image in (full, scaled))
    for name, value in a.items():
        assert b[name] == pytest.approx(value, rel=0.06, abs=0.004), name


def test_a_scaled_decode_measures_the_same(eye: Image, tmp_path: Path) -> None:
    big = cv2.resize(eye, None, fx=3.3, fy=3.3, interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "eye.jpg"
    cv2.imwrite(str(path), big[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    scaled_decode_agrees(path, 224)


def test_a_scaled_decode_of_a_real_picture_measures_the_same(real_uwf: list[Path]) -> None:
    scaled_decode_agrees(next(path for path in real_uwf if path.suffix == ".jpg"), 224)


def test_a_smaller_aperture_is_measured_on_its_own_pixels(eye: Image) -> None:
    small = np.asarray(cv2.resize(eye, (192, 144), interpolation=cv2.INTER_AREA), np.uint8)
    field = find_field_of_view(small)
    x0, y0, x1, y1 = field.box
    copy = room.reduce_aperture(small, field)
    assert copy.side == min(y1 - y0, x1 - x0) // 8 * 8
    assert measured(small, "sharpness") > 0.012
