"""TIFF and BigTIFF: the first page's tags, and that all its strips are there (TIFF 6.0)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.image_headers.directory import Layout, read_directory, read_preamble
from realmnet_runtime.pictures.image_headers.header import ImageHeader, check_dimensions, truncated

_MOST_PAGES: Final = 64
_THUMBNAIL_BIT: Final = 1
_STRAIGHT_ALPHA: Final = 2
_JPEG: Final = 7
_COMPRESSIONS: Final = {
    1: "none",
    5: "LZW",
    _JPEG: "JPEG",
    8: "deflate",
    32946: "deflate",
    32773: "PackBits",
}


class _Tag(IntEnum):
    SUBFILE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    STRIP_OFFSETS = 273
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_BYTES = 279
    PLANAR = 284
    TILE_WIDTH = 322
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339


class _Photometric(IntEnum):
    WHITE_IS_ZERO = 0
    BLACK_IS_ZERO = 1
    RGB = 2
    PALETTE = 3
    YCBCR = 6


_COLOUR_CHANNELS: Final[dict[int, int]] = {
    _Photometric.WHITE_IS_ZERO: 1,
    _Photometric.BLACK_IS_ZERO: 1,
    _Photometric.RGB: 3,
    _Photometric.PALETTE: 1,
    _Photometric.YCBCR: 3,
}

Tags = dict[int, tuple[int, ...]]


def read_tiff_header(data: bytes) -> ImageHeader:
    """Check the tags of a TIFF's one picture.

    The first page is the picture; pages after it must be marked as its reduced copies, since
    which of two full pages is meant cannot be known. The tags admit only what OpenCV decodes
    rightly: of the rest it returns several kinds as noise without an error.

    Raises:
        UnreadableImage: truncated, several pages, tiled, separate planes, a compression, colour
            space, depth or extra channel that is not read, too many pixels.
    """
    layout, first = read_preamble(data)
    directory = read_directory(data, first, layout)
    tags = directory.tags
    width, height = _one(tags, _Tag.WIDTH, 0), _one(tags, _Tag.HEIGHT, 0)
    check_dimensions(width, height)
    _refuse_more_pages(data, directory.following, layout)
    bits = _read_depth(tags)
    _refuse_layouts(tags)
    straight_alpha = _read_channels(tags, bits)
    _check_strips(data, tags, (height, width), bits)
    return ImageHeader(
        "TIFF", width, height, bits=16 if bits == 16 else 8, straight_alpha=straight_alpha
    )


def _one(tags: Tags, tag: _Tag, default: int) -> int:
    values = tags.get(tag, ())
    return values[0] if values else default


def _refuse_more_pages(data: bytes, following: int, layout: Layout) -> None:
    for _ in range(_MOST_PAGES):
        if following == 0:
            return
        page = read_directory(data, following, layout)
        if not _one(page.tags, _Tag.SUBFILE, 0) & _THUMBNAIL_BIT:
            break
        following = page.following
    raise UnreadableImage("TIFF of several pages; one picture is read; export a single page")


def _read_depth(tags: Tags) -> int:
    depths = set(tags.get(_Tag.BITS, (1,)))
    if depths not in ({8}, {16}):
        raise UnreadableImage(
            f"TIFF with {', '.join(map(str, sorted(depths)))} bits a sample; 8 and 16 are read; "
            "export it with 8"
        )
    if set(tags.get(_Tag.SAMPLE_FORMAT, (1,))) != {1}:
        raise UnreadableImage(
            "TIFF of signed or floating-point samples; unsigned integers are read; "
            "export it with 8 bits"
        )
    return depths.pop()


def _refuse_layouts(tags: Tags) -> None:
    compression = _one(tags, _Tag.COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise UnreadableImage(
            f"TIFF of compression {compression}; "
            f"{', '.join(dict.fromkeys(_COMPRESSIONS.values()))} are read; export it uncompressed"
        )
    if _Tag.TILE_WIDTH in tags:
        raise UnreadableImage("tiled TIFF; strips are read; export it without tiles")
    if _one(tags, _Tag.PLANAR, 1) != 1:
        raise UnreadableImage(
            "TIFF with separate colour planes; interleaved pixels are read; export it interleaved"
        )


def _read_channels(tags: Tags, bits: int) -> bool:
    """Whether the decoder will return an alpha channel that is not yet multiplied in."""
    photometric = _one(tags, _Tag.PHOTOMETRIC, -1)
    compression = _one(tags, _Tag.COMPRESSION, 1)
    samples = _one(tags, _Tag.SAMPLES, 1)
    extra = tags.get(_Tag.EXTRA_SAMPLES, ())
    colours = _COLOUR_CHANNELS.get(photometric)
    if colours is None or (photometric == _Photometric.YCBCR and compression != _JPEG):
        raise UnreadableImage(
            f"TIFF of colour space {photometric}; grey, RGB and palette are read; "
            "export the picture as RGB"
        )
    if bits == 16 and photometric not in {_Photometric.BLACK_IS_ZERO, _Photometric.RGB}:
        raise UnreadableImage(
            f"16-bit TIFF of colour space {photometric}; grey (black is zero) and RGB are read; "
            "export the picture as 8-bit RGB"
        )
    if samples == colours and not extra:
        return False
    if photometric != _Photometric.RGB or samples != colours + 1 or len(extra) != 1:
        raise UnreadableImage(
            f"TIFF with {samples} channels; grey, RGB, palette and RGB with one alpha channel are "
            "read; export the picture as RGB"
        )
    # libtiff multiplies alpha into 8-bit pixels itself and hands 16-bit pixels over as stored.
    return bits == 16 and extra[0] == _STRAIGHT_ALPHA


def _check_strips(data: bytes, tags: Tags, shape: tuple[int, int], bits: int) -> None:
    height, width = shape
    offsets = tags.get(_Tag.STRIP_OFFSETS, ())
    sizes = tags.get(_Tag.STRIP_BYTES, ())
    rows = min(_one(tags, _Tag.ROWS_PER_STRIP, height) or height, height)
    if len(offsets) != len(sizes) or len(offsets) != -(-height // rows):
        raise UnreadableImage(
            f"TIFF with {len(offsets)} strips of {rows} rows for {height} rows; export it again"
        )
    row_bytes = width * _one(tags, _Tag.SAMPLES, 1) * bits // 8
    uncompressed = _one(tags, _Tag.COMPRESSION, 1) == 1
    for index, (offset, size) in enumerate(zip(offsets, sizes, strict=True)):
        least = row_bytes * min(rows, height - index * rows) if uncompressed else 1
        if size < least or offset + size > len(data):
            raise truncated("TIFF", len(data))
