"""The answer itself: valid once it exists, and the same answer in every size of the picture."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.aperture.field_of_view import FieldOfView
from realmnet_runtime.errors import UsageError


def rectangle(box: tuple[int, int, int, int], height: int, width: int) -> FieldOfView:
    mask = np.zeros((height, width), bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return FieldOfView(box=box, mask=mask)


@st.composite
def rectangles(draw: st.DrawFn) -> FieldOfView:
    height, width = draw(st.integers(2, 300)), draw(st.integers(2, 300))
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    return rectangle((x0, y0, x1, y1), height, width)


@pytest.mark.parametrize(
    "box",
    [(0, 0, 0, 4), (0, 0, 6, 5), (-1, 0, 3, 3), (3, 1, 2, 4), (0, 0, 7, 4)],
)
def test_boxes_that_are_empty_or_leave_the_picture_are_refused(
    box: tuple[int, int, int, int],
) -> None:
    with pytest.raises(UsageError, match="empty or leaves the picture"):
        FieldOfView(box=box, mask=np.ones((4, 6), bool))


def test_an_empty_mask_is_refused() -> None:
    mask = np.zeros((4, 6), bool)
    mask[3, 5] = True
    with pytest.raises(UsageError, match="mask is empty inside box"):
        FieldOfView(box=(0, 0, 3, 3), mask=mask)


@pytest.mark.parametrize("mask", [np.ones((4, 6), np.uint8), np.ones((4, 6, 3), bool)])
def test_a_mask_of_another_kind_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(UsageError, match=r"\(H, W\) bool is needed"):
        FieldOfView(box=(0, 0, 3, 3), mask=mask)


def test_nothing_in_it_can_be_changed() -> None:
    field = rectangle((1, 1, 4, 3), 4, 6)
    with pytest.raises(dataclasses.FrozenInstanceError):
        field.box = (0, 0, 1, 1)  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        field.mask[0, 0] = True


@given(rectangles(), st.integers(1, 400), st.integers(1, 400))
def test_scaling_keeps_each_side_within_a_pixel(
    field: FieldOfView, height: int, width: int
) -> None:
    scaled = field.scaled_to(height, width)
    rows, columns = field.mask.shape
    exact = np.array(field.box) * ([width / columns, height / rows] * 2)
    assert scaled.mask.shape == (height, width)
    assert np.abs(np.array(scaled.box) - exact).max() <= 1.0


@given(rectangles(), st.integers(1, 6))
def test_enlarging_and_reducing_by_a_whole_number_gives_the_same_answer(
    field: FieldOfView, times: int
) -> None:
    rows, columns = field.mask.shape
    back = field.scaled_to(times * rows, times * columns).scaled_to(rows, columns)
    assert back.box == field.box
    np.testing.assert_array_equal(back.mask, field.mask)


@given(rectangles(), st.integers(20, 400), st.integers(20, 400))
def test_a_scaled_mask_fills_its_scaled_box(field: FieldOfView, height: int, width: int) -> None:
    scaled = field.scaled_to(height, width)
    x0, y0, x1, y1 = scaled.box
    expected = np.zeros_like(scaled.mask)
    expected[y0:y1, x0:x1] = True
    perimeter = 2 * (x1 - x0 + y1 - y0) + 4
    assert np.count_nonzero(expected ^ scaled.mask) <= perimeter


@pytest.mark.parametrize(("height", "width"), [(0, 10), (10, 0), (-3, 5)])
def test_a_picture_without_pixels_has_no_scaled_answer(height: int, width: int) -> None:
    with pytest.raises(UsageError, match="use 1 x 1 or more"):
        rectangle((1, 1, 4, 3), 4, 6).scaled_to(height, width)
