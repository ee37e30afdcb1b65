"""JPEG: upright, whole, three channels, and scaled by the stated rule."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.images import decode_image, jpeg_scale, read_image

Pixels = NDArray[np.uint8]


def smooth_picture(height: int, width: int, seed: int = 0) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 7, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(picture: Pixels, *options: int) -> bytes:
    code = cv2.COLOR_RGB2BGR
    stored = cv2.cvtColor(picture, code) if picture.ndim == 3 else picture
    return cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 95, *options])[1].tobytes()


def exif(orientation: int, order: str = ">") -> bytes:
    preamble = {">": b"MM\0\x2a", "<": b"II\x2a\0"}[order]
    return preamble + struct.pack(f"{order}IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    return data[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + data[2:]


def with_exif(data: bytes, orientation: int, order: str = ">") -> bytes:
    return with_segment(data, 0xE1, b"Exif\0\0" + exif(orientation, order))


def frame_at(data: bytes, marker: int = 0xC0) -> int:
    return data.index(bytes([0xFF, marker]))


def patched(data: bytes, offset: int, content: bytes) -> bytes:
    return data[:offset] + content + data[offset + len(content) :]


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("model_size", [None, 16])
def test_orientation_turns_the_pixels(orientation: int, order: str, model_size: int | None) -> None:
    data = jpeg(smooth_picture(75, 101))
    turned = decode_image(with_exif(data, orientation, order), model_size=model_size)
    expected = UPRIGHT[orientation](read_image(data, model_size=model_size))
    assert np.array_equal(turned.pixels, expected)
    assert turned.original_size == ((101, 75) if orientation >= 5 else (75, 101))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_agrees_with_pillow(orientation: int) -> None:
    image = pytest.importorskip("PIL.Image")
    operations = pytest.importorskip("PIL.ImageOps")
    data = with_exif(jpeg(smooth_picture(40, 56)), orientation)
    expected = np.asarray(operations.exif_transpose(image.open(io.BytesIO(data))), np.int16)
    assert np.abs(read_image(data) - expected).max() <= 1


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_impossible_orientation_counts_as_absent(orientation: int) -> None:
    data = jpeg(smooth_picture(40, 56))
    assert np.array_equal(read_image(with_exif(data, orientation)), read_image(data))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_damaged_exif_leaves_the_picture_readable(content: bytes) -> None:
    data = jpeg(smooth_picture(16, 24))
    damaged = with_segment(data, 0xE1, b"Exif\0\0" + b"II\x2a\0" + content)
    assert read_image(damaged).size == 16 * 24 * 3


def test_grey_is_repeated_in_three_channels() -> None:
    grey = cv2.cvtColor(smooth_picture(40, 56), cv2.COLOR_RGB2GRAY)
    pixels = read_image(jpeg(grey))
    assert pixels.shape == (40, 56, 3)
    assert np.ptp(pixels, axis=2).max() == 0
    assert np.abs(pixels[..., 0].astype(int) - grey).max() <= 8


def test_progressive_holds_the_same_coefficients() -> None:
    picture = smooth_picture(75, 101)
    progressive = jpeg(picture, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert frame_at(progressive, 0xC2)
    assert np.array_equal(read_image(progressive), read_image(jpeg(picture)))


def test_channels_are_red_green_blue() -> None:
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[..., 0] = 200
    red, green, blue = read_image(jpeg(picture)).reshape(-1, 3).mean(axis=0)
    assert red > 190
    assert max(green, blue) < 10


# Scaled decoding


@settings(deadline=None)
@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 5000),
    model_size=st.one_of(st.none(), st.integers(1, 1024)),
)
def test_scale_is_the_smallest_that_leaves_twice_the_size(
    width: int, height: int, model_size: int | None
) -> None:
    def enough(scale: int) -> bool:
        return model_size is not None and -(-min(width, height) // scale) >= 2 * model_size

    scale = jpeg_scale(width, height, model_size)
    assert scale == 1 or enough(scale)
    assert not any(enough(smaller) for smaller in (2, 4, 8) if smaller > scale)


@pytest.mark.parametrize(("height", "width"), [(161, 203), (160, 200), (167, 201)])
@pytest.mark.parametrize(("model_size", "scale"), [(10, 8), (20, 4), (40, 2), (60, 1)])
def test_scaled_sides_are_rounded_up(height: int, width: int, model_size: int, scale: int) -> None:
    decoded = decode_image(jpeg(smooth_picture(height, width)), model_size=model_size)
    assert decoded.pixels.shape == (-(-height // scale), -(-width // scale), 3)
    assert decoded.original_size == (height, width)


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("seed", range(3))
def test_scaled_decode_is_close_to_the_full_one_averaged(scale: int, seed: int) -> None:
    data = jpeg(smooth_picture(320, 400, seed))
    scaled = read_image(data, model_size=320 // scale // 2)
    averaged = cv2.resize(
        read_image(data), (400 // scale, 320 // scale), interpolation=cv2.INTER_AREA
    )
    difference = np.abs(scaled.astype(int) - averaged)
    assert scaled.shape == averaged.shape
    assert difference.mean() < 1
    assert difference.max() <= 16


# Whole files


@settings(deadline=None)
@given(st.data())
def test_every_proper_beginning_is_refused(data: st.DataObject) -> None:
    progressive = data.draw(st.booleans())
    whole = jpeg(smooth_picture(40, 56), cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive))
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(UnreadableImage):
        read_image(whole[:cut])


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_truncated_says_so_and_prints_nothing(
    share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = jpeg(smooth_picture(300, 400))
    with pytest.raises(UnreadableImage, match="truncated JPEG"):
        read_image(whole[: int(len(whole) * share)])
    assert capfd.readouterr().err == ""


def test_end_marker_of_a_thumbnail_does_not_count() -> None:
    thumbnail = jpeg(smooth_picture(16, 16))
    whole = with_segment(jpeg(smooth_picture(75, 101)), 0xE1, b"Exif\0\0" + exif(1) + thumbnail)
    assert read_image(whole).shape == (75, 101, 3)
    with pytest.raises(UnreadableImage, match="truncated"):
        read_image(whole[:-200])


@pytest.mark.parametrize(
    "trailer", [b"\0" * 1000, b"\xff" * 7, b"padding", jpeg(smooth_picture(16, 16))]
)
def test_what_follows_the_end_marker_is_not_looked_at(trailer: bytes) -> None:
    data = jpeg(smooth_picture(75, 101))
    assert np.array_equal(read_image(data + trailer), read_image(data))


def test_fill_bytes_before_a_marker_are_allowed() -> None:
    data = jpeg(smooth_picture(40, 56))
    start = frame_at(data)
    assert np.array_equal(read_image(data[:start] + b"\xff\xff" + data[start:]), read_image(data))


def test_restart_markers_inside_a_scan_are_no_end() -> None:
    picture = smooth_picture(75, 101)
    restarted = jpeg(picture, cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    assert b"\xff\xd0" in restarted
    assert np.array_equal(read_image(restarted), read_image(jpeg(picture)))


def test_markers_without_a_picture_are_refused() -> None:
    with pytest.raises(UnreadableImage, match="without a picture"):
        read_image(b"\xff\xd8\xff\xfe\x00\x02\xff\xd9")


def test_damaged_tables_are_refused() -> None:
    data = jpeg(smooth_picture(40, 56))
    tables = data.index(b"\xff\xc4")
    with pytest.raises(UnreadableImage, match="damaged JPEG"):
        read_image(patched(data, tables + 4, b"\xff" * 17))


# Kinds that are not read


def test_print_colours_are_refused() -> None:
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.fromarray(smooth_picture(40, 56)).convert("CMYK").save(buffer, "JPEG")
    with pytest.raises(UnreadableImage, match=r"CMYK.*export the picture as RGB") as caught:
        read_image(buffer.getvalue())
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(
    ("offset", "content", "reason"),
    [
        (9, b"\x04", "CMYK"),
        (9, b"\x02", "2 colour channels"),
        (4, b"\x0c", "12 bits a sample"),
        (1, b"\xc3", "lossless"),
        (1, b"\xc9", "arithmetic-coded"),
        (5, b"\x00\x00", "x 0 pixels"),
    ],
)
def test_frames_that_are_not_read(offset: int, content: bytes, reason: str) -> None:
    data = jpeg(smooth_picture(40, 56))
    with pytest.raises(UnreadableImage, match=reason):
        read_image(patched(data, frame_at(data) + offset, content))


@pytest.mark.parametrize("model_size", [None, 384])
def test_too_many_pixels_are_refused_by_the_header_alone(model_size: int | None) -> None:
    data = jpeg(smooth_picture(40, 56))
    start = frame_at(data)
    bomb = patched(data, start + 5, struct.pack(">HH", 30_000, 30_000))
    for content in (bomb, bomb[: start + 20]):
        with pytest.raises(UnreadableImage, match="30000 x 30000 = 900 megapixels; at most 200"):
            read_image(content, model_size=model_size)
