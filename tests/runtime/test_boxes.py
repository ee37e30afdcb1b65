"""Laws of a box that goes from one size of a picture to another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.boxes import Box, scale_box

Size = tuple[int, int]
SIZES = st.tuples(st.integers(1, 500), st.integers(1, 500))


@st.composite
def boxes(draw: st.DrawFn) -> tuple[Box, Size]:
    height, width = draw(SIZES)
    x0, y0 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    x1, y1 = draw(st.integers(x0 + 1, width)), draw(st.integers(y0 + 1, height))
    return (x0, y0, x1, y1), (height, width)


@given(boxes(), SIZES)
def test_it_is_never_empty_and_stays_inside(given: tuple[Box, Size], new: Size) -> None:
    x0, y0, x1, y1 = scale_box(*given, new)
    assert 0 <= x0 < x1 <= new[1]
    assert 0 <= y0 < y1 <= new[0]


@given(boxes(), SIZES)
def test_no_side_moves_by_more_than_a_pixel(given: tuple[Box, Size], new: Size) -> None:
    box, old = given
    for place, side in enumerate(scale_box(box, old, new)):
        axis = 1 - place % 2
        assert abs(side - box[place] * new[axis] / old[axis]) <= 1


@given(boxes())
def test_the_same_size_changes_nothing(given: tuple[Box, Size]) -> None:
    box, size = given
    assert scale_box(box, size, size) == box


@given(SIZES, SIZES)
def test_the_whole_picture_stays_the_whole_picture(old: Size, new: Size) -> None:
    assert scale_box((0, 0, old[1], old[0]), old, new) == (0, 0, new[1], new[0])


@given(boxes(), st.integers(1, 20))
def test_enlarging_by_a_whole_number_is_exact_and_goes_back(
    given: tuple[Box, Size], times: int
) -> None:
    box, old = given
    new = old[0] * times, old[1] * times
    enlarged = scale_box(box, old, new)
    assert enlarged == tuple(side * times for side in box)
    assert scale_box(enlarged, new, old) == box
