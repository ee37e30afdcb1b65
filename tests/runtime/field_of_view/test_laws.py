"""Laws on pictures whose aperture is known: margins, mirrors, turns, sizes and cuts change nothing.

Sides are compared as parts of the aperture's width and height.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as within
from hypothesis import strategies as st

from realmnet_runtime.aperture._surround import reduce
from realmnet_runtime.aperture.field_of_view import find_field_of_view

Draw = Callable[..., Any]
seeds = st.integers(0, 10_000)
few = within(max_examples=15)


@few
@given(seed=seeds, height=st.integers(120, 700), aspect=st.floats(0.6, 1.9), power=st.floats(2, 5))
def test_a_window_in_black_is_found(
    draw_in_black: Draw, measure: Draw, *, seed: int, height: int, aspect: float, power: float
) -> None:
    drawn = draw_in_black(seed, height, round(aspect * height), power)
    found = measure(find_field_of_view(drawn.image), drawn.aperture, drawn.box)
    assert found.mask_iou >= 0.95
    assert found.furthest_side <= 0.02


@few
@given(seed=seeds, height=st.integers(200, 700), aspect=st.floats(1.0, 1.6))
def test_a_window_between_lids_is_found(
    draw_between_lids: Draw, measure: Draw, seed: int, height: int, aspect: float
) -> None:
    drawn = draw_between_lids(seed, height, round(aspect * height))
    found = measure(find_field_of_view(drawn.image), drawn.aperture, drawn.box)
    assert found.mask_iou >= 0.95
    assert found.furthest_side <= 0.02


@few
@given(
    seed=seeds,
    height=st.integers(250, 900),
    surround=st.floats(0, 14),
    cut=st.floats(0, 0.25),
    letter=st.booleans(),
)
def test_an_ordinary_fundus_photograph_is_cropped_to_its_disc(
    draw_fundus: Draw,
    measure: Draw,
    *,
    seed: int,
    height: int,
    surround: float,
    cut: float,
    letter: bool,
) -> None:
    drawn = draw_fundus(
        seed, height, round(1.5 * height), surround=surround, cut=cut, letter=letter
    )
    found = measure(find_field_of_view(drawn.image), drawn.aperture, drawn.box)
    assert found.mask_iou >= 0.95
    assert found.furthest_side <= 0.02


@pytest.fixture(params=["black", "lids", "disc"])
def draw(
    request: pytest.FixtureRequest,
    draw_in_black: Draw,
    draw_between_lids: Draw,
    draw_fundus: Draw,
) -> Draw:
    kinds: dict[str, Draw] = {
        "black": draw_in_black,
        "lids": draw_between_lids,
        "disc": draw_fundus,
    }
    return kinds[request.param]


@pytest.mark.parametrize("seed", range(4))
def test_black_margins_change_nothing(draw: Draw, measure: Draw, compress: Draw, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = draw(seed).image
    height, width = image.shape[:2]
    alone = find_field_of_view(image)
    left, right = (rng.uniform(0.1, 0.4, 2) * width).astype(int)
    above, below = (rng.uniform(0.1, 0.4, 2) * height).astype(int)
    size = (height + above + below, width + left + right, 3)
    padded = rng.integers(0, 1 + 2 * seed, size).astype(np.uint8)
    padded[above : above + height, left : left + width] = image
    if seed:
        padded = compress(padded, int(rng.integers(70, 96)))
    shifted = np.zeros(padded.shape[:2], bool)
    shifted[above : above + height, left : left + width] = alone.mask
    box = tuple(np.add(alone.box, [left, above, left, above]).tolist())
    found = measure(find_field_of_view(padded), shifted, box)
    assert found.mask_iou >= 0.98
    assert found.furthest_side <= 0.01


@pytest.mark.parametrize("seed", range(3))
def test_mirrors_and_turns_move_the_answer_with_the_picture(
    draw: Draw, measure: Draw, seed: int
) -> None:
    image = draw(seed).image
    height, width = image.shape[:2]
    field = find_field_of_view(image)
    x0, y0, x1, y1 = field.box
    moved = {
        "mirrored": (image[:, ::-1], field.mask[:, ::-1], (width - x1, y0, width - x0, y1)),
        "upside down": (image[::-1], field.mask[::-1], (x0, height - y1, x1, height - y0)),
        "turned left": (np.rot90(image), np.rot90(field.mask), (y0, width - x1, y1, width - x0)),
        "turned about": (
            np.rot90(image, 2),
            np.rot90(field.mask, 2),
            (width - x1, height - y1, width - x0, height - y0),
        ),
    }
    for how, (picture, mask, box) in moved.items():
        found = measure(find_field_of_view(picture), mask, box)
        assert found.mask_iou >= 0.98, how
        assert found.furthest_side <= 0.01, how


@pytest.mark.parametrize("times", [0.5, 0.71, 1.37, 2.0, 3.3])
def test_the_answer_scales_with_the_picture(draw: Draw, measure: Draw, times: float) -> None:
    image = draw(5).image
    height, width = (round(times * side) for side in image.shape[:2])
    kind = cv2.INTER_AREA if times < 1 else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(image, (width, height), interpolation=kind), np.uint8)
    expected = find_field_of_view(image).scaled_to(height, width)
    found = measure(find_field_of_view(scaled), expected.mask, expected.box)
    assert found.mask_iou >= 0.97
    assert found.furthest_side <= 0.015


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("width", [3072, 3904, 4096])
def test_a_scaled_decode_is_looked_at_in_the_same_squares(
    draw: Draw, width: int, scale: int
) -> None:
    # 3,904 and 976 pixels are 10 and 2 times the side that is looked at: other squares, unless
    # both are reduced by powers of two.
    height = width * 3 // 4
    whole = np.asarray(cv2.resize(draw(1).image, (width, height)), np.uint8)
    size = (width // scale, height // scale)
    part = np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)
    expected, found = reduce(whole), reduce(part)
    assert found.factor * scale == expected.factor
    assert found.picture.shape == expected.picture.shape
    # What is averaged in two steps is rounded once more.
    assert int(cv2.absdiff(found.picture, expected.picture).max()) <= 2


@pytest.mark.parametrize("seed", range(4))
def test_cutting_to_the_box_and_looking_again_moves_no_side(draw: Draw, seed: int) -> None:
    image = draw(seed).image
    x0, y0, x1, y1 = find_field_of_view(image).box
    again = find_field_of_view(image[y0:y1, x0:x1]).box
    moved = np.abs(np.subtract(again, (0, 0, x1 - x0, y1 - y0)))
    assert (moved <= 0.01 * np.array([x1 - x0, y1 - y0] * 2)).all()


def test_retina_that_fills_its_picture_is_its_own_aperture(draw_in_black: Draw) -> None:
    drawn = draw_in_black(3, 600, 750)
    x0, y0, x1, y1 = drawn.box
    inset_x, inset_y = (x1 - x0) // 5, (y1 - y0) // 5
    inner = drawn.image[y0 + inset_y : y1 - inset_y, x0 + inset_x : x1 - inset_x]
    field = find_field_of_view(inner)
    assert field.box == (0, 0, inner.shape[1], inner.shape[0])
    assert field.mask.mean() > 0.98


def test_the_same_picture_gives_the_same_answer_and_nothing_else_changes(draw: Draw) -> None:
    image = draw(1).image
    before, threads, optimised = image.copy(), cv2.getNumThreads(), cv2.useOptimized()
    first, second = find_field_of_view(image), find_field_of_view(image)
    assert first.box == second.box
    np.testing.assert_array_equal(first.mask, second.mask)
    np.testing.assert_array_equal(image, before)
    assert (cv2.getNumThreads(), cv2.useOptimized()) == (threads, optimised)


def test_the_box_is_the_tight_box_of_the_mask(draw: Draw) -> None:
    field = find_field_of_view(draw(2).image)
    x0, y0, x1, y1 = field.box
    rows, columns = np.flatnonzero(field.mask.any(1)), np.flatnonzero(field.mask.any(0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (x0, y0, x1, y1)
