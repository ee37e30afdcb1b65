"""PNG: every chunk checked; 16 bits, alpha, palette and grey by the stated rules."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.images import decode_image, read_image

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )


def png(
    samples: NDArray[np.uint8] | NDArray[np.uint16], colour: int, *extra: bytes, size: bytes = b""
) -> bytes:
    """Rows of samples, unfiltered; `extra` chunks go between header and picture."""
    height, width = samples.shape[:2]
    depth = samples.dtype.itemsize * 8
    rows = samples.astype(samples.dtype.newbyteorder(">"))
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    header = (size or struct.pack(">II", width, height)) + bytes([depth, colour, 0, 0, 0])
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            *extra,
            chunk(b"IDAT", zlib.compress(content)),
            chunk(b"IEND", b""),
        ]
    )


def noise(*shape: int, bits: int = 8) -> NDArray[np.uint16]:
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(0).integers(0, 1 << bits, shape, kind)


def rounded(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.floor(values + 0.5).astype(np.uint8)


def test_eight_bit_rgb_is_kept() -> None:
    samples = noise(31, 45, 3)
    decoded = decode_image(png(samples, RGB))
    assert np.array_equal(decoded.pixels, samples)
    assert (decoded.format, decoded.original_size) == ("PNG", (31, 45))


def test_model_size_does_not_scale_a_png() -> None:
    samples = noise(310, 450, 3)
    assert np.array_equal(read_image(png(samples, RGB), model_size=8), samples)


def test_every_sixteen_bit_value_is_divided_by_257_and_rounded() -> None:
    samples = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    pixels = read_image(png(samples, GREY))
    assert np.array_equal(pixels, rounded(np.repeat(samples[..., None], 3, axis=2) / 257))


def test_sixteen_bit_rgb() -> None:
    samples = noise(31, 45, 3, bits=16)
    assert np.array_equal(read_image(png(samples, RGB)), rounded(samples / 257))


def test_alpha_is_composited_on_black() -> None:
    samples = noise(31, 45, 4)
    expected = rounded(samples[..., :3] * (samples[..., 3:] / 255))
    assert np.array_equal(read_image(png(samples, RGB_ALPHA)), expected)


def test_sixteen_bit_alpha_is_composited_after_the_scaling() -> None:
    samples = noise(31, 45, 4, bits=16)
    eight = rounded(samples / 257).astype(float)
    expected = rounded(eight[..., :3] * eight[..., 3:] / 255)
    assert np.array_equal(read_image(png(samples, RGB_ALPHA)), expected)


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_with_alpha(bits: int) -> None:
    samples = noise(31, 45, 2, bits=bits)
    eight = rounded(samples / (1 if bits == 8 else 257)).astype(float)
    expected = rounded(eight[..., 0] * eight[..., 1] / 255)
    assert np.array_equal(
        read_image(png(samples, GREY_ALPHA)), np.repeat(expected[..., None], 3, axis=2)
    )


def test_grey_is_repeated_in_three_channels() -> None:
    samples = noise(31, 45)
    assert np.array_equal(read_image(png(samples, GREY)), np.repeat(samples[..., None], 3, axis=2))


def test_palette_is_expanded() -> None:
    colours = noise(256, 3)
    indices = np.arange(240, dtype=np.uint8).reshape(12, 20)
    data = png(indices, PALETTE, chunk(b"PLTE", colours.tobytes()))
    assert np.array_equal(read_image(data), colours[indices])


def test_transparent_palette_is_composited_on_black() -> None:
    colours, alpha = noise(256, 3), np.arange(256, dtype=np.uint8)
    indices = np.arange(240, dtype=np.uint8).reshape(12, 20)
    data = png(indices, PALETTE, chunk(b"PLTE", colours.tobytes()), chunk(b"tRNS", alpha.tobytes()))
    expected = rounded(colours * (alpha[:, None] / 255))[indices]
    assert np.array_equal(read_image(data), expected)


def test_orientation_of_the_exif_chunk() -> None:
    samples = noise(31, 45, 3)
    exif = b"MM\0\x2a" + struct.pack(">IHHHIHHI", 8, 1, 274, 3, 1, 6, 0, 0)
    decoded = decode_image(png(samples, RGB, chunk(b"eXIf", exif)))
    assert np.array_equal(decoded.pixels, np.rot90(samples, -1))
    assert decoded.original_size == (45, 31)


def test_orientation_turns_what_was_composited() -> None:
    samples = noise(31, 45, 4)
    exif = b"II\x2a\0" + struct.pack("<IHHHIHHI", 8, 1, 274, 3, 1, 3, 0, 0)
    turned = read_image(png(samples, RGB_ALPHA, chunk(b"eXIf", exif)))
    assert np.array_equal(turned, read_image(png(samples, RGB_ALPHA))[::-1, ::-1])


ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (31, 45)])
def test_interlaced(shape: tuple[int, int]) -> None:
    samples = noise(*shape, 3)
    passes = [samples[top::down, left::right] for top, left, down, right in ADAM7]
    content = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    header = struct.pack(">II", shape[1], shape[0]) + bytes([8, RGB, 0, 0, 1])
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(content)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)
    assert np.array_equal(read_image(data), samples)


# Whole files

SMALL = png(noise(7, 9, 3), RGB)


@settings(deadline=None)
@given(st.integers(0, len(SMALL) - 1))
def test_every_proper_beginning_is_refused(cut: int) -> None:
    with pytest.raises(UnreadableImage):
        read_image(SMALL[:cut])


@settings(deadline=None)
@given(st.integers(0, len(SMALL) * 8 - 1))
def test_every_flipped_bit_is_refused(bit: int) -> None:
    flipped = bytearray(SMALL)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UnreadableImage):
        read_image(bytes(flipped))


def test_truncated_says_so_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    whole = cv2.imencode(".png", noise(60, 80, 3))[1].tobytes()
    with pytest.raises(UnreadableImage, match="truncated PNG"):
        read_image(whole[: len(whole) // 2])
    assert capfd.readouterr().err == ""


def test_what_follows_the_end_chunk_is_not_looked_at() -> None:
    assert np.array_equal(read_image(SMALL + b"padding"), read_image(SMALL))


def test_rows_that_are_missing_inside_sound_chunks_are_refused() -> None:
    samples = noise(31, 45, 3)
    taller = png(samples, RGB, size=struct.pack(">II", 45, 40))
    with pytest.raises(UnreadableImage, match="damaged PNG"):
        read_image(taller)


# Kinds that are not read


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(noise(7, 9, 3), RGB, size=struct.pack(">II", 30_000, 30_000)), "900 megapixels"),
        (png(noise(7, 9, 3), RGB, size=struct.pack(">II", 0, 9)), "0 x 9 pixels"),
        (png(noise(7, 9), GREY, chunk(b"tRNS", b"\0\x07")), "one key colour"),
        (png(noise(7, 9, 3), RGB, chunk(b"tRNS", b"\0\x07" * 3)), "one key colour"),
        (png(noise(7, 9, 3), RGB, chunk(b"acTL", b"\0\0\0\1\0\0\0\0")), "animated"),
        (png(noise(7, 9, bits=16), PALETTE), "colour type 3 with 16 bits"),
        (SMALL[:33] + chunk(b"IEND", b""), "without a picture"),
        (SMALL[:8] + SMALL[33:], "without a header"),
    ],
)
def test_kinds_that_are_not_read(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        read_image(data)
