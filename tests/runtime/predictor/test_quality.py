"""Grey pictures of an eye are refused, colour ones, real and drawn, are not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime.errors import ImageRefused
from realmnet_runtime.field_of_view import FieldOfView, find_field_of_view
from realmnet_runtime.images import read_image
from realmnet_runtime.quality import require_colour, saturation

SHARED = Path(__file__).parents[4] / "shared" / "images"


def grey_of(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


@given(
    st.tuples(*[st.integers(0, 255)] * 3),
    st.permutations([0, 1, 2]),
)
def test_saturation_of_one_colour_is_its_definition(
    colour: tuple[int, int, int], order: list[int]
) -> None:
    image = np.full((40, 50, 3), [colour[channel] for channel in order], np.uint8)
    field = FieldOfView((0, 0, 50, 40), np.ones((40, 50), bool))
    expected = (max(colour) - min(colour)) / max(colour) if max(colour) else 0.0
    assert saturation(image, field) == pytest.approx(expected)


def test_only_the_aperture_counts(eye: NDArray[np.uint8]) -> None:
    field = find_field_of_view(eye)
    painted = eye.copy()
    painted[~field.mask] = (0, 0, 255)
    assert saturation(painted, field) == saturation(eye, field)


def test_a_colour_eye_passes_and_a_grey_one_is_refused(eye: NDArray[np.uint8]) -> None:
    field = find_field_of_view(eye)
    require_colour(eye, field)
    with pytest.raises(ImageRefused, match="grey"):
        require_colour(grey_of(eye), field)


def test_noise_of_a_sensor_does_not_colour_a_grey_eye(eye: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(5).normal(0, 3, eye.shape)
    noisy = np.clip(grey_of(eye) + noise, 0, 255).astype(np.uint8)
    with pytest.raises(ImageRefused, match="grey"):
        require_colour(noisy, find_field_of_view(eye))


@pytest.mark.parametrize(
    ("folder", "colour"), [("uwf", True), ("other", False)], ids=["two-laser", "angiogram"]
)
def test_real_pictures(folder: str, colour: bool) -> None:
    paths = sorted((SHARED / folder).glob("*")) if SHARED.is_dir() else []
    if not paths:
        pytest.skip("no ../shared/images beside the repository")
    for path in paths:
        image = read_image(path, model_size=224)
        field = find_field_of_view(image)
        if colour:
            require_colour(image, field)
        else:
            with pytest.raises(ImageRefused, match="grey"):
                require_colour(image, field)
