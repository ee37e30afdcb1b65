"""TIFF: only what is decoded rightly is admitted, in both byte orders and offset sizes."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.images import decode_image, read_image

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
OFFSETS, ORIENTATION, SAMPLES, ROWS, SIZES, PLANAR = 273, 274, 277, 278, 279, 284
COLOURS, TILE_WIDTH, EXTRA, SAMPLE_FORMAT = 320, 322, 338, 339
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED = 0, 1, 2, 3, 5
DEFLATE, PACKBITS = 8, 32773


def packbits(raw: bytes) -> bytes:
    parts = [raw[start : start + 128] for start in range(0, len(raw), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


Turn = Callable[[NDArray[Any]], NDArray[Any]]
CODERS: dict[int, Callable[[bytes], bytes]] = {1: bytes, DEFLATE: zlib.compress, PACKBITS: packbits}


def page_tags(samples: NDArray[Any], rows: int, tags: dict[int, Any]) -> dict[int, Any]:
    height, width = samples.shape[:2]
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    return {
        WIDTH: [width],
        HEIGHT: [height],
        BITS: [samples.dtype.itemsize * 8] * channels,
        COMPRESSION: [1],
        PHOTOMETRIC: [RGB if channels >= 3 else BLACK_IS_ZERO],
        SAMPLES: [channels],
        ROWS: [rows],
        **tags,
    }


def tiff(
    samples: NDArray[Any],
    *,
    order: str = "<",
    big: bool = False,
    rows: int = 8,
    pages: tuple[dict[int, Any], ...] = ({},),
    compression: int = 1,
) -> bytes:
    """Strips first, then a directory a page; every page shows the same strips."""
    offset_code = "Q" if big else "I"
    out = bytearray(b"II" if order == "<" else b"MM")
    out += struct.pack(f"{order}HHHQ", 43, 8, 0, 0) if big else struct.pack(f"{order}HI", 42, 0)
    link = 8 if big else 4
    coder = CODERS[compression]
    stored = samples.astype(samples.dtype.newbyteorder(order))
    offsets, sizes = [], []
    for start in range(0, len(stored), rows):
        strip = coder(stored[start : start + rows].tobytes())
        offsets.append(len(out))
        sizes.append(len(strip))
        out += strip + b"\0" * (len(strip) % 2)
    for extra in pages:
        tags = page_tags(samples, rows, {OFFSETS: offsets, SIZES: sizes})
        tags = {**tags, COMPRESSION: [compression], **extra}
        entries, values = bytearray(), bytearray()
        inline = struct.calcsize(offset_code)
        size = (8 if big else 2) + len(tags) * (20 if big else 12) + inline
        directory = len(out)
        for tag, content in sorted(tags.items()):
            code, kind = (offset_code, 16 if big else 4) if tag in {OFFSETS, SIZES} else ("H", 3)
            packed = struct.pack(f"{order}{len(content)}{code}", *content)
            entries += struct.pack(f"{order}HH{offset_code}", tag, kind, len(content))
            if len(packed) <= inline:
                entries += packed.ljust(inline, b"\0")
            else:
                entries += struct.pack(order + offset_code, directory + size + len(values))
                values += packed + b"\0" * (len(packed) % 2)
        struct.pack_into(order + offset_code, out, link, directory)
        count = struct.pack(order + ("Q" if big else "H"), len(tags))
        out += count + entries
        link = len(out)
        out += struct.pack(order + offset_code, 0) + values
    return bytes(out)


def noise(*shape: int, bits: int = 8) -> NDArray[Any]:
    kind = np.uint8 if bits == 8 else np.uint16
    return np.random.default_rng(0).integers(0, 1 << bits, shape, kind)


def rounded(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.floor(values + 0.5).astype(np.uint8)


def three(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("compression", [1, DEFLATE, PACKBITS])
@pytest.mark.parametrize("rows", [5, 8, 31])
def test_rgb_of_both_depths(order: str, big: bool, compression: int, rows: int) -> None:
    layout = {"order": order, "big": big, "compression": compression, "rows": rows}
    eight, sixteen = noise(31, 45, 3), noise(31, 45, 3, bits=16)
    decoded = decode_image(tiff(eight, **layout))
    assert np.array_equal(decoded.pixels, eight)
    assert (decoded.format, decoded.original_size) == ("TIFF", (31, 45))
    assert np.array_equal(read_image(tiff(sixteen, **layout)), rounded(sixteen / 257))


def test_grey_of_both_depths() -> None:
    eight, sixteen = noise(31, 45), noise(31, 45, bits=16)
    assert np.array_equal(read_image(tiff(eight)), three(eight))
    assert np.array_equal(read_image(tiff(sixteen)), three(rounded(sixteen / 257)))


def test_white_is_zero_is_turned_round() -> None:
    eight = noise(31, 45)
    data = tiff(eight, pages=({PHOTOMETRIC: [WHITE_IS_ZERO]},))
    assert np.array_equal(read_image(data), three(255 - eight))


def test_palette_is_expanded() -> None:
    indices = noise(31, 45)
    colours = noise(3, 256)
    table = (colours.astype(int) * 257).ravel().tolist()
    data = tiff(indices, pages=({PHOTOMETRIC: [PALETTE], COLOURS: table},))
    assert np.array_equal(read_image(data), colours.T[indices])


@pytest.mark.parametrize(("kind", "straight"), [(0, False), (1, False), (2, True)])
@pytest.mark.parametrize("bits", [8, 16])
def test_extra_channel(kind: int, straight: bool, bits: int) -> None:
    """Straight alpha is composited on black; associated alpha already is; others are no alpha."""
    samples = noise(31, 45, 4, bits=bits)
    eight = rounded(samples / (1 if bits == 8 else 257)).astype(float)
    alpha = eight[..., 3:] / 255 if straight else 1.0
    expected = rounded(eight[..., :3] * alpha)
    assert np.array_equal(read_image(tiff(samples, pages=({EXTRA: [kind]},))), expected)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_orientation_turns_the_pixels_once(bits: int, orientation: int, turned: Turn) -> None:
    samples = noise(31, 45, 3, bits=bits)
    decoded = decode_image(tiff(samples, pages=({ORIENTATION: [orientation]},)))
    expected = turned(rounded(samples / (1 if bits == 8 else 257)))
    assert np.array_equal(decoded.pixels, expected)
    assert decoded.original_size == expected.shape[:2]


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg"])
def test_other_compressions_agree_with_pillow(compression: str) -> None:
    image = pytest.importorskip("PIL.Image")
    samples = np.repeat(np.repeat(noise(6, 7, 3), 8, axis=0), 8, axis=1)
    buffer = io.BytesIO()
    image.fromarray(samples).save(buffer, "TIFF", compression=compression)
    expected = np.asarray(image.open(buffer).convert("RGB"), np.int16)
    assert np.abs(read_image(buffer.getvalue()) - expected).max() <= 1


def test_reduced_copies_are_passed_over() -> None:
    samples = noise(31, 45, 3)
    data = tiff(samples, pages=({}, {SUBFILE: [1], HEIGHT: [8]}, {SUBFILE: [1]}))
    assert np.array_equal(read_image(data), samples)


# Whole files

SMALL = {
    "classic": tiff(noise(7, 9, 3)),
    "classic, deflate": tiff(noise(7, 9, 3), compression=DEFLATE),
    "big": tiff(noise(7, 9, 3), big=True, order=">"),
}


@settings(deadline=None)
@given(st.data())
def test_every_proper_beginning_is_refused(data: st.DataObject) -> None:
    whole = SMALL[data.draw(st.sampled_from(sorted(SMALL)))]
    with pytest.raises(UnreadableImage):
        read_image(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("lost", [1, 100, 3000])
def test_lost_strips_behind_the_directory_say_so_and_print_nothing(
    lost: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """The order in which most writers lay a file out: directory first, strips last."""
    image = pytest.importorskip("PIL.Image")
    buffer = io.BytesIO()
    image.fromarray(noise(31, 45, 3)).save(buffer, "TIFF")
    whole = buffer.getvalue()
    assert read_image(whole).shape == (31, 45, 3)
    with pytest.raises(UnreadableImage, match="truncated TIFF"):
        read_image(whole[:-lost])
    assert capfd.readouterr().err == ""


def test_strips_shorter_than_their_rows_are_refused() -> None:
    samples = noise(31, 45, 3)
    with pytest.raises(UnreadableImage, match="truncated TIFF"):
        read_image(tiff(samples, pages=({WIDTH: [46]},)))


def test_directory_that_never_ends_is_refused() -> None:
    data = bytearray(tiff(noise(7, 9, 3), pages=({}, {SUBFILE: [1]})))
    (first,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, first)
    (second,) = struct.unpack_from("<I", data, first + 2 + count * 12)
    (count,) = struct.unpack_from("<H", data, second)
    struct.pack_into("<I", data, second + 2 + count * 12, second)
    with pytest.raises(UnreadableImage, match="several pages"):
        read_image(bytes(data))


# Kinds that are not read


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({WIDTH: [30_000], HEIGHT: [30_000]}, "900 megapixels"),
        ({WIDTH: [0]}, "0 x 31 pixels"),
        ({BITS: [1, 1, 1]}, "with 1 bits a sample"),
        ({BITS: [8, 8, 16]}, "with 8, 16 bits a sample"),
        ({BITS: [32, 32, 32], SAMPLE_FORMAT: [3]}, "with 32 bits a sample"),
        ({SAMPLE_FORMAT: [2]}, "signed or floating-point"),
        ({COMPRESSION: [34712]}, "compression 34712"),
        ({COMPRESSION: [50000]}, "compression 50000"),
        ({TILE_WIDTH: [16]}, "tiled"),
        ({PLANAR: [2]}, "separate colour planes"),
        ({PHOTOMETRIC: [8]}, "colour space 8"),
        ({PHOTOMETRIC: [SEPARATED]}, "colour space 5"),
        ({PHOTOMETRIC: [6]}, "colour space 6"),
        ({SAMPLES: [5], EXTRA: [0, 0]}, "5 channels"),
        ({ROWS: [4]}, "4 strips of 4 rows for 31 rows"),
        ({SIZES: [1080]}, "4 strips of 8 rows"),
    ],
)
def test_kinds_that_are_not_read(tags: dict[int, Any], reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        read_image(tiff(noise(31, 45, 3), pages=(tags,)))


def test_sixteen_bit_white_is_zero_is_refused() -> None:
    data = tiff(noise(31, 45, bits=16), pages=({PHOTOMETRIC: [WHITE_IS_ZERO]},))
    with pytest.raises(UnreadableImage, match="16-bit TIFF of colour space 0"):
        read_image(data)


def test_grey_with_an_extra_channel_is_refused() -> None:
    data = tiff(noise(31, 45, 2), pages=({PHOTOMETRIC: [BLACK_IS_ZERO], EXTRA: [2]},))
    with pytest.raises(UnreadableImage, match="2 channels"):
        read_image(data)


def test_several_pages_are_refused() -> None:
    with pytest.raises(UnreadableImage, match="several pages"):
        read_image(tiff(noise(31, 45, 3), pages=({}, {})))
