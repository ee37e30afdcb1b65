"""Maps carried back to the picture, against the pre-processing that leads away from it."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime import FieldOfView, PreprocessSpec, UsageError
from realmnet_runtime.pictures.frame import Frame, frame_of
from realmnet_runtime.pictures.images import DecodedImage
from realmnet_runtime.pictures.preprocess import Placement, place_crop, prepare

SIZE = 64
CELLS = 8
FITS = ("stretch", "pad")


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    height, width = draw(st.integers(40, 200)), draw(st.integers(40, 200))
    y0, x0 = draw(st.integers(0, height - 30)), draw(st.integers(0, width - 30))
    y1, x1 = draw(st.integers(y0 + 30, height)), draw(st.integers(x0 + 30, width))
    spec = PreprocessSpec(size=SIZE, fit=draw(st.sampled_from(FITS)))
    return Frame((height, width), (x0, y0, x1, y1), place_crop(y1 - y0, x1 - x0, spec), SIZE)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(height, width)).astype(np.float32)


def inside_box(frame: Frame, height: int, width: int) -> NDArray[np.bool_]:
    """Pixels of a size whose centre lies in the half-open box."""
    x0, y0, x1, y1 = frame.box
    y = (np.arange(height) + 0.5)[:, None] * frame.original_size[0] / height
    x = (np.arange(width) + 0.5)[None] * frame.original_size[1] / width
    return (y0 <= y) & (y < y1) & (x0 <= x) & (x < x1)


def ramps(height: int, width: int) -> NDArray[np.uint8]:
    """Red says the column, green the row."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.linspace(0, 255, width).round()
    picture[..., 1] = np.linspace(0, 255, height).round()[:, None]
    return picture


@settings(deadline=None, max_examples=40)
@given(
    height=st.integers(80, 300),
    width=st.integers(80, 300),
    scale=st.sampled_from([1, 2, 4]),
    fit=st.sampled_from(FITS),
    data=st.data(),
)
def test_what_a_cell_saw_comes_back_to_where_it_was(
    height: int, width: int, scale: int, fit: Literal["stretch", "pad"], data: st.DataObject
) -> None:
    """Average the prepared ramp in cells and carry them back: the ramp is there again."""
    y0, x0 = data.draw(st.integers(0, height - 64)), data.draw(st.integers(0, width - 64))
    y1, x1 = (
        data.draw(st.integers(y0 + 64, height), label="y1"),
        data.draw(st.integers(x0 + 64, width), label="x1"),
    )
    spec = PreprocessSpec(size=SIZE, fit=fit)
    decoded = ramps(height, width)
    aperture = FieldOfView((x0, y0, x1, y1), np.ones((height, width), np.bool_))
    square = prepare(decoded, spec, aperture)
    frame = frame_of(
        DecodedImage(decoded, (height * scale, width * scale), "JPEG", ""), aperture.box, spec
    )
    assert frame.box == (x0 * scale, y0 * scale, x1 * scale, y1 * scale)
    original = np.asarray(
        cv2.resize(decoded, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    )
    side = SIZE // CELLS
    inside = cells_inside(frame.placement, side)
    for channel in (0, 1):
        cells = square[..., channel].reshape(CELLS, side, CELLS, side).mean(axis=(1, 3))
        carried = frame.carry(cells.astype(np.float32))
        rows, columns = sure_pixels(frame, inside, side)
        difference = carried[rows, columns] - original[rows, columns, channel].astype(float)
        # one grey level of the ramp each for rounding, filtering and the picture's scale
        assert np.abs(difference).max(initial=0.0) <= 3.0
    outside = np.ones(frame.original_size, np.bool_)
    outside[frame.box[1] : frame.box[3], frame.box[0] : frame.box[2]] = False
    assert not frame.carry(np.ones((CELLS, CELLS), np.float32))[outside].any()


def cells_inside(placement: Placement, side: int) -> tuple[int, int, int, int]:
    """First and last whole cells of the crop: rows, then columns."""
    top, left, rows, columns = placement
    return (
        -(-top // side),
        (top + rows) // side - 1,
        -(-left // side),
        (left + columns) // side - 1,
    )


def sure_pixels(frame: Frame, inside: tuple[int, int, int, int], side: int) -> tuple[slice, slice]:
    """Pixels between the centres of whole cells, where interpolation has both neighbours."""
    x0, y0, x1, y1 = frame.box
    top, left, rows, columns = frame.placement

    def span(cells: tuple[int, int], start: int, length: int, ends: tuple[int, int]) -> slice:
        begin, end = (((cell + 0.5) * side - start) / length for cell in cells)
        low, high = ends
        return slice(
            low + int(np.ceil(begin * (high - low))), low + int(np.floor(end * (high - low)))
        )

    return span(inside[:2], top, rows, (y0, y1)), span(inside[2:], left, columns, (x0, x1))


@pytest.mark.parametrize("cells", [2, 7, 12])
def test_a_carried_map_stays_within_its_values_and_keeps_a_constant(cells: int) -> None:
    spec = PreprocessSpec(size=96)
    frame = Frame((90, 120), (10, 5, 110, 85), place_crop(80, 100, spec), 96)
    constant = frame.carry(np.full((cells, cells), 0.7, np.float32))
    np.testing.assert_allclose(constant[5:85, 10:110], 0.7, rtol=1e-6)
    random = np.random.default_rng(0).normal(size=(cells, cells)).astype(np.float32)
    carried = frame.carry(random)[5:85, 10:110]
    assert random.min() - 1e-6 <= carried.min() <= carried.max() <= random.max() + 1e-6


@settings(deadline=None, max_examples=60)
@given(frames(), st.integers(1, 9), st.integers(1, 9), st.integers(1, 150), st.integers(1, 150))
def test_values_are_those_of_an_independent_resampling(
    frame: Frame, h: int, w: int, height: int, width: int
) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    cells = noise(h, w)
    carried = frame.carry(cells, (height, width))
    assert carried.shape == (height, width)
    assert carried.dtype == np.float32
    x0, y0, x1, y1 = frame.box
    top, left, rows, columns = frame.placement
    y, x = np.mgrid[:height, :width] + 0.5
    y, x = y * frame.original_size[0] / height, x * frame.original_size[1] / width
    row = (top + (y - y0) / (y1 - y0) * rows) / SIZE * h - 0.5
    column = (left + (x - x0) / (x1 - x0) * columns) / SIZE * w - 0.5
    expected = ndimage.map_coordinates(
        cells.astype(np.float64), [row, column], order=1, mode="nearest"
    )
    inside = inside_box(frame, height, width)
    np.testing.assert_allclose(carried[inside], expected[inside], atol=1e-5)
    assert not carried[~inside].any()


@settings(deadline=None, max_examples=60)
@given(frames(), st.data())
def test_one_hot_cell_peaks_where_its_centre_lies(frame: Frame, data: st.DataObject) -> None:
    h, w = data.draw(st.integers(2, 12)), data.draw(st.integers(2, 12))
    i, j = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    height, width = data.draw(st.integers(80, 300)), data.draw(st.integers(80, 300))
    x0, y0, x1, y1 = frame.box
    top, left, rows, columns = frame.placement
    y = y0 + ((i + 0.5) * SIZE / h - top) / rows * (y1 - y0)
    x = x0 + ((j + 0.5) * SIZE / w - left) / columns * (x1 - x0)
    cells = np.zeros((h, w), np.float32)
    cells[i, j] = 1.0
    carried = frame.carry(cells, (height, width))
    assert 0.0 <= carried.min() <= carried.max() <= 1.0
    if y0 <= y < y1 and x0 <= x < x1:
        # of the pixels, as the outermost cell's value is held beyond its centre
        row = min(int(y * height / frame.original_size[0]), height - 1)
        column = min(int(x * width / frame.original_size[1]), width - 1)
        if inside_box(frame, height, width)[row, column]:
            steps = [
                (h / SIZE) * rows / (y1 - y0) * frame.original_size[0] / height,
                (w / SIZE) * columns / (x1 - x0) * frame.original_size[1] / width,
            ]
            # half a pixel away from the centre at most, along each side
            least = np.prod([max(0.0, 1.0 - 0.5 * step) for step in steps])
            assert carried[row, column] >= least - 1e-5
            assert carried.max() - carried[row, column] <= 1.0 - least + 1e-5


@settings(deadline=None, max_examples=40)
@given(frames(), st.integers(1, 8), st.integers(1, 8), st.sampled_from([1, 3, 5]))
def test_sizes_are_samples_of_one_and_the_same_function(
    frame: Frame, h: int, w: int, factor: int
) -> None:
    """Of an odd factor the middle of each block of pixels has the old pixel's centre."""
    cells = noise(h, w)
    height, width = frame.original_size
    larger = frame.carry(cells, (height * factor, width * factor))
    middle = factor // 2
    np.testing.assert_allclose(
        larger[middle::factor, middle::factor], frame.carry(cells), atol=1e-5
    )


@settings(deadline=None, max_examples=40)
@given(frames(), st.integers(0, 40), st.integers(0, 40))
def test_a_crop_elsewhere_is_the_same_map_elsewhere(frame: Frame, down: int, across: int) -> None:
    cells = noise(5, 7)
    height, width = frame.original_size
    x0, y0, x1, y1 = frame.box
    size = (height + down, width + across)
    there = Frame(
        size, (x0 + across, y0 + down, x1 + across, y1 + down), frame.placement, SIZE
    ).carry(cells)
    np.testing.assert_allclose(there[down:, across:], frame.carry(cells), atol=1e-5)
    assert not there[:down].any()
    assert not there[:, :across].any()


def test_a_map_shifted_by_a_cell_is_carried_a_cell_further() -> None:
    frame = Frame((100, 120), (16, 12, 112, 84), Placement(0, 0, 48, 48), 48)
    cells = noise(6, 6)
    shifted = np.roll(cells, (1, 1), axis=(0, 1))
    # 12 rows and 16 columns a cell; beyond the outermost centres values are held
    one = frame.carry(cells)[12 + 6 : 84 - 12 - 6, 16 + 8 : 112 - 16 - 8]
    other = frame.carry(shifted)[12 + 12 + 6 : 84 - 6, 16 + 16 + 8 : 112 - 8]
    np.testing.assert_allclose(other, one, atol=1e-5)


def test_a_centre_on_the_edge_belongs_to_the_half_open_box() -> None:
    """100.5 pixels of 134 are 30 of 40, where the box ends, and of another where one begins."""
    cells = np.ones((1, 1), np.float32)
    for box, inside in (((0, 0, 30, 30), range(100)), ((30, 0, 40, 30), range(100, 134))):
        frame = Frame((40, 40), box, Placement(0, 0, 64, 64), 64)
        (row,) = frame.carry(cells, (1, 134))
        assert np.flatnonzero(row).tolist() == list(inside)


def test_a_small_case_by_hand() -> None:
    frame = Frame((5, 6), (1, 0, 5, 4), Placement(0, 0, 4, 4), 4)
    carried = frame.carry(np.array([[0, 4], [8, 12]], np.float32))
    # centres lie at -1/4, 1/4, 3/4 and 5/4 of the way between the two cells
    expected = np.zeros((5, 6), np.float32)
    expected[:4, 1:5] = np.array([[0], [2], [6], [8]]) + np.array([[0, 1, 3, 4]])
    np.testing.assert_array_equal(carried, expected)


def test_what_is_black_beside_a_padded_crop_has_no_pixel() -> None:
    """A crop twice as wide as high fills the middle two of four rows of cells."""
    spec = PreprocessSpec(size=64, fit="pad")
    frame = Frame((60, 100), (10, 10, 90, 50), place_crop(40, 80, spec), 64)
    assert frame.placement == (16, 0, 32, 64)
    cells = np.repeat(np.array([[9], [1], [2], [9]], np.float32), 4, axis=1)
    middle = frame.carry(cells)[10:50, 10:90]
    # only beyond their centres do the cells in the black take part
    np.testing.assert_allclose(middle[10, :], 1.0, atol=0.1)
    np.testing.assert_allclose(middle[29, :], 2.0, atol=0.1)
    assert middle[10:30].max() < 2.2


@pytest.mark.parametrize(
    ("shape", "size", "message"),
    [
        ((2, 2, 2), None, "map has shape"),
        ((0, 2), None, "one cell or more"),
        ((2, 2), (0, 5), "0 rows and 5 columns"),
        ((2, 2), (5, -1), "sides of 1 or more"),
        ((2, 2), (1_000_000, 1_000_000), "at most"),
    ],
)
def test_maps_and_sizes_that_cannot_be_are_refused(
    shape: tuple[int, ...], size: tuple[int, int] | None, message: str
) -> None:
    frame = Frame((90, 120), (10, 5, 110, 85), Placement(0, 0, 96, 96), 96)
    with pytest.raises(UsageError, match=message):
        frame.carry(np.zeros(shape, np.float32), size)
