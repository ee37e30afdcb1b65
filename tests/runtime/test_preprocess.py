"""From pixels to the network's input: laws, and NumPy as the oracle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import FieldOfView
from realmnet_runtime.errors import ConfigurationError, ImageRefused, NoFieldOfView, UsageError
from realmnet_runtime.pictures.preprocess import (
    PreprocessSpec,
    prepare,
    preprocess,
    tensor_digest,
    to_tensor,
)

Pixels = NDArray[np.uint8]
FITS = ("stretch", "pad")
FILTERS = ("area", "linear", "cubic")


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def block_means(picture: Pixels, size: int) -> NDArray[np.float64]:
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    return picture.reshape(size, rows, size, columns, 3).mean(axis=(1, 3))


def field(height: int, width: int, box: tuple[int, int, int, int]) -> FieldOfView:
    """An ellipse in a box."""
    x0, y0, x1, y1 = box
    y, x = np.mgrid[:height, :width] + 0.5
    radii = (x1 - x0) / 2, (y1 - y0) / 2
    inside = ((x - (x0 + x1) / 2) / radii[0]) ** 2 + ((y - (y0 + y1) / 2) / radii[1]) ** 2 <= 1
    return FieldOfView(box, inside)


def spec(**changes: object) -> PreprocessSpec:
    return PreprocessSpec(**{"size": 32, "deborder": "off", **changes})


pictures = arrays.arrays(np.uint8, st.tuples(st.integers(9, 70), st.integers(9, 70), st.just(3)))
specs = st.builds(
    PreprocessSpec,
    size=st.sampled_from([32, 33]),
    deborder=st.just("off"),
    fit=st.sampled_from(FITS),
    resize=st.sampled_from(FILTERS),
)


# Crop and mask


@settings(deadline=None)
@given(picture=pictures, of=specs)
def test_without_debordering_nothing_is_cropped(picture: Pixels, of: PreprocessSpec) -> None:
    height, width = picture.shape[:2]
    given_field = FieldOfView((1, 1, 3, 3), np.ones((height, width), np.bool_))
    assert np.array_equal(prepare(picture, of), prepare(picture, of, given_field))
    padded_frame = np.full_like(picture, 255)
    assert prepare(padded_frame, of).max() == 255


@pytest.mark.parametrize("fit", FITS)
def test_crop_is_to_the_box(fit: str) -> None:
    picture = noise(90, 120)
    cropped = prepare(picture, spec(deborder="crop", fit=fit), field(90, 120, (20, 10, 100, 70)))
    assert np.array_equal(cropped, prepare(picture[10:70, 20:100], spec(fit=fit)))


def test_mask_blackens_outside_the_aperture_before_the_resize() -> None:
    picture = noise(90, 120)
    found = field(90, 120, (20, 10, 100, 70))
    masked = prepare(picture, spec(deborder="crop+mask"), found)
    blackened = np.where(found.mask[..., None], picture, 0).astype(np.uint8)
    assert np.array_equal(masked, prepare(blackened[10:70, 20:100], spec()))
    assert not masked[0, 0].any()
    assert masked[16, 16].any()


def test_mask_of_the_whole_picture_changes_nothing() -> None:
    picture = noise(64, 96)
    everything = FieldOfView((0, 0, 96, 64), np.ones((64, 96), np.bool_))
    expected = prepare(picture, spec())
    for deborder in ("crop", "crop+mask"):
        assert np.array_equal(prepare(picture, spec(deborder=deborder), everything), expected)


def test_field_of_view_is_looked_for_where_none_is_given() -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    lit = field(300, 400, (60, 40, 340, 260))
    picture[lit.mask] = (noise(300, 400) // 8 + np.array([150, 80, 5], np.uint8))[lit.mask]
    x = np.linspace(0.6, 1.0, 400)
    picture = (picture * x[None, :, None]).astype(np.uint8)
    found = prepare(picture, spec(deborder="crop"))
    expected = prepare(picture, spec(deborder="crop"), lit)
    assert np.abs(found.astype(int) - expected).mean() < 4
    assert np.abs(found.astype(int) - prepare(picture, spec())).mean() > 10


@pytest.mark.parametrize("value", [0, 255])
def test_blank_picture_has_no_field_of_view(value: int) -> None:
    with pytest.raises(NoFieldOfView) as caught:
        preprocess(np.full((300, 400, 3), value, np.uint8), spec(deborder="crop"))
    assert caught.value.exit_code == 7


def test_field_of_view_of_another_picture_is_refused() -> None:
    with pytest.raises(UsageError, match=r"scaled_to\(90, 120\)"):
        prepare(noise(90, 120), spec(deborder="crop"), field(45, 60, (0, 0, 60, 45)))


# Fit


@settings(deadline=None)
@given(pictures, specs)
def test_prepared_is_a_square_of_bytes(picture: Pixels, of: PreprocessSpec) -> None:
    prepared = prepare(picture, of)
    assert prepared.shape == (of.size, of.size, 3)
    assert prepared.dtype == np.uint8
    assert prepared.flags.c_contiguous


@settings(deadline=None)
@given(height=st.integers(1, 4), width=st.integers(1, 4), seed=st.integers(0, 9))
def test_area_is_the_mean_of_the_blocks(height: int, width: int, seed: int) -> None:
    picture = noise(32 * height, 32 * width, seed)
    difference = np.abs(prepare(picture, spec()) - block_means(picture, 32))
    assert difference.max() <= 0.5 + 1e-3


@settings(deadline=None)
@given(pictures, st.sampled_from(FITS))
def test_area_is_linear_when_enlarging(picture: Pixels, fit: str) -> None:
    enlarged = prepare(picture, spec(size=70, fit=fit))
    assert np.array_equal(enlarged, prepare(picture, spec(size=70, fit=fit, resize="linear")))


@pytest.mark.parametrize("turned", [False, True])
def test_area_averages_the_side_that_shrinks_and_interpolates_the_one_that_grows(
    turned: bool,
) -> None:
    picture = noise(16, 128)
    means = picture.reshape(16, 32, 4, 3).mean(axis=2)
    centres = np.clip((np.arange(32) + 0.5) / 2 - 0.5, 0, 15)
    low = centres.astype(int)
    share = (centres - low)[:, None, None]
    expected = means[low] * (1 - share) + means[np.minimum(low + 1, 15)] * share
    if turned:
        picture, expected = picture.swapaxes(0, 1), expected.swapaxes(0, 1)
    assert np.abs(prepare(picture, spec()) - expected).max() <= 1.01


@pytest.mark.parametrize("resize", FILTERS)
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("value", [0, 1, 127, 255])
def test_even_colour_stays(resize: str, fit: str, value: int) -> None:
    prepared = prepare(np.full((50, 70, 3), value, np.uint8), spec(resize=resize, fit=fit))
    rows = slice(0, 32) if fit == "stretch" else slice(4, 27)
    assert (prepared[rows] == value).all()


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("resize", FILTERS)
def test_square_of_the_right_size_is_kept(fit: str, resize: str) -> None:
    picture = noise(32, 32)
    assert np.array_equal(prepare(picture, spec(fit=fit, resize=resize)), picture)


@settings(deadline=None)
@given(picture=pictures, resize=st.sampled_from(FILTERS), size=st.sampled_from([32, 33]))
def test_pad_keeps_the_aspect_and_centres_on_black(picture: Pixels, resize: str, size: int) -> None:
    bright = np.maximum(picture, 60)
    prepared = prepare(bright, spec(fit="pad", resize=resize, size=size))
    height, width = picture.shape[:2]
    lit = prepared.any(axis=2)
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    assert max(len(rows), len(columns)) == size
    assert abs(len(rows) / size - height / max(height, width)) <= 0.5 / size + 1e-9
    assert abs(len(columns) / size - width / max(height, width)) <= 0.5 / size + 1e-9
    for span in (rows, columns):
        before, after = span[0], size - 1 - span[-1]
        assert after - before in {0, 1}
        assert len(span) == span[-1] - span[0] + 1


@settings(deadline=None)
@given(pictures, specs, st.sampled_from(["F", "reversed", "strided", "read-only", "swapped"]))
def test_memory_order_does_not_matter_and_the_picture_is_not_written_to(
    picture: Pixels, of: PreprocessSpec, order: str
) -> None:
    other: Callable[[Pixels], Pixels] = {
        "F": np.asfortranarray,
        "reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
        "strided": lambda a: np.repeat(np.repeat(a, 2, axis=0), 2, axis=1)[::2, ::2],
        "read-only": lambda a: a.copy(),
        "swapped": lambda a: np.ascontiguousarray(a.swapaxes(0, 1)).swapaxes(0, 1),
    }[order]
    same = other(picture)
    same.setflags(write=False)
    before = picture.copy()
    assert np.array_equal(prepare(same, of), prepare(picture, of))
    assert np.array_equal(picture, before)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (47, 400), (400, 47)])
def test_too_small_a_picture_is_refused(height: int, width: int) -> None:
    with pytest.raises(ImageRefused, match=f"{width} x {height} pixels.*at least 48") as caught:
        prepare(noise(height, width), spec(size=384))
    assert caught.value.exit_code == 7
    assert prepare(noise(48, 400), spec(size=384)).shape == (384, 384, 3)


@pytest.mark.parametrize(
    "image", [noise(40, 40).astype(np.float32), noise(40, 40)[..., 0], noise(40, 40)[:0]]
)
def test_array_that_is_no_picture(image: Pixels) -> None:
    with pytest.raises(UsageError, match="uint8 RGB"):
        prepare(image, spec())


# Tensor


@settings(deadline=None)
@given(
    mean=st.tuples(*[st.floats(0, 1)] * 3),
    std=st.tuples(*[st.floats(0.01, 2)] * 3),
    seed=st.integers(0, 9),
)
def test_tensor_is_the_formula_rounded_once(
    mean: tuple[float, float, float], std: tuple[float, float, float], seed: int
) -> None:
    prepared = noise(32, 32, seed)
    tensor = to_tensor(prepared, spec(mean=mean, std=std))
    exact = (prepared / 255.0 - np.array(mean)) / np.array(std)
    assert np.array_equal(tensor, exact.astype(np.float32).transpose(2, 0, 1))
    assert tensor.dtype == np.float32
    assert tensor.flags.c_contiguous


def test_default_is_the_unit_interval() -> None:
    ramp = np.resize(np.arange(256, dtype=np.uint8), (32, 32, 3))
    tensor = to_tensor(ramp, spec())
    assert tensor.min() == 0.0
    assert tensor.max() == 1.0
    assert np.array_equal(np.round(tensor * 255).astype(np.uint8), ramp.transpose(2, 0, 1))


@settings(deadline=None)
@given(st.lists(pictures, min_size=1, max_size=4), specs)
def test_a_batch_is_its_pictures_one_by_one(batch: list[Pixels], of: PreprocessSpec) -> None:
    together = np.stack([preprocess(picture, of) for picture in batch])
    for picture, tensor in zip(batch, together, strict=True):
        assert np.array_equal(tensor, to_tensor(prepare(picture, of), of))


@pytest.mark.parametrize(
    "prepared", [noise(33, 32), noise(32, 32)[..., 0], noise(32, 32).astype(np.float32)]
)
def test_what_was_not_prepared_by_this_spec_is_refused(prepared: Pixels) -> None:
    with pytest.raises(UsageError, match=r"\(32, 32, 3\) uint8 is needed"):
        to_tensor(prepared, spec())


# Digest


def test_digest_is_of_little_endian_values_in_c_order() -> None:
    tensor = to_tensor(noise(32, 32), spec())
    expected = hashlib.sha256(tensor.astype("<f4").tobytes()).hexdigest()
    assert tensor_digest(tensor) == expected
    assert tensor_digest(np.asfortranarray(tensor)) == expected
    assert tensor_digest(tensor.astype(">f4")) == expected
    assert tensor_digest(tensor[::-1]) != expected


def test_digest_of_another_type_is_refused() -> None:
    with pytest.raises(UsageError, match="float64"):
        tensor_digest(np.zeros((3, 2, 2)))


# Specification


@pytest.mark.parametrize(("decode", "expected"), [("scaled", 32), ("full", None)])
def test_decode_size_is_what_read_image_takes(decode: str, expected: int | None) -> None:
    assert spec(decode=decode).decode_size == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"std": (1.0, 0.0, 1.0)},
        {"std": (1.0, -1.0, 1.0)},
        {"std": (1.0, float("inf"), 1.0)},
        {"mean": (0.0, float("nan"), 0.0)},
    ],
)
def test_impossible_specification_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        spec(**changes)
