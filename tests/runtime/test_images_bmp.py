"""BMP: the headers of Windows and OS/2, rows from either end, the fourth byte left out."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.images import decode_image, read_image

HEIGHT, WIDTH = 31, 45
PICTURE: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
MASKS = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)


def padded_rows(samples: NDArray[np.uint8]) -> bytes:
    rows = [row.tobytes() for row in samples]
    return b"".join(row + b"\0" * (-len(row) % 4) for row in rows)


def bmp(
    samples: NDArray[np.uint8],
    *,
    header_bytes: int = 40,
    compression: int = 0,
    between: bytes = b"",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    depth: int | None = None,
) -> bytes:
    depth = depth or (8 if samples.ndim == 2 else samples.shape[2] * 8)
    if header_bytes == 12:
        header = struct.pack("<IHHHH", 12, *size, 1, depth)
    else:
        header = struct.pack("<IiiHHIIiiII", header_bytes, *size, 1, depth, compression, *[0] * 5)
    extended = between if header_bytes > 40 else b""
    header = header + extended + b"\0" * (header_bytes - len(header) - len(extended))
    trailing = b"" if header_bytes > 40 else between
    offset = 14 + len(header) + len(trailing)
    content = padded_rows(samples)
    preamble = b"BM" + struct.pack("<IHHI", offset + len(content), 0, 0, offset)
    return preamble + header + trailing + content


def stored(fourth: int | None = None) -> NDArray[np.uint8]:
    bgr = PICTURE[..., ::-1]
    if fourth is not None:
        bgr = np.dstack([bgr, np.full((HEIGHT, WIDTH), fourth, np.uint8)])
    return bgr[::-1]


@pytest.mark.parametrize(
    "data",
    [
        bmp(stored()),
        bmp(stored()[::-1], size=(WIDTH, -HEIGHT)),
        bmp(stored(), header_bytes=12),
        bmp(stored(), header_bytes=108),
        bmp(stored(), header_bytes=124),
        bmp(stored(0)),
        bmp(stored(77)),
        bmp(stored(0), compression=3, between=MASKS),
        bmp(stored(77), compression=3, between=MASKS + b"\0\0\0\xff", header_bytes=124),
        bmp(stored()) + b"padding",
    ],
    ids=[
        "rows from the bottom",
        "rows from the top",
        "OS/2",
        "version 4",
        "version 5",
        "fourth byte zero",
        "fourth byte not zero",
        "bit fields",
        "bit fields with alpha",
        "padding",
    ],
)
def test_the_same_picture_in_every_writing(data: bytes) -> None:
    decoded = decode_image(data)
    assert np.array_equal(decoded.pixels, PICTURE)
    assert (decoded.format, decoded.original_size) == ("BMP", (HEIGHT, WIDTH))


def test_palette_is_expanded() -> None:
    colours = np.random.default_rng(1).integers(0, 256, (256, 4), np.uint8)
    indices = PICTURE[..., 0]
    data = bmp(indices[::-1], between=colours.tobytes())
    assert np.array_equal(read_image(data), colours[indices][..., 2::-1])


SMALL = cv2.imencode(".bmp", PICTURE[:5, :7])[1].tobytes()


@settings(deadline=None)
@given(st.integers(0, len(SMALL) - 1))
def test_every_proper_beginning_is_refused(cut: int) -> None:
    with pytest.raises(UnreadableImage):
        read_image(SMALL[:cut])


def test_truncated_says_so_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnreadableImage, match="truncated BMP"):
        read_image(bmp(stored())[:-1])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bmp(stored(), size=(30_000, 30_000)), "900 megapixels"),
        (bmp(stored(), size=(-45, 31)), "-45 x 31 pixels"),
        (bmp(stored(), depth=16), "16 bits a pixel"),
        (bmp(stored(), depth=4), "4 bits a pixel"),
        (bmp(PICTURE[..., 0], compression=1), "compression 1 with 8 bits"),
        (bmp(stored(), compression=4), "compression 4"),
        (bmp(stored(), header_bytes=64), "header of 64 bytes"),
    ],
)
def test_kinds_that_are_not_read(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        read_image(data)
