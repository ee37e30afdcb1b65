"""PNG: every chunk and its checksum (W3C PNG specification, third edition)."""

from __future__ import annotations

import zlib
from typing import Final

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.image_headers.exif import orientation_of
from realmnet_runtime.pictures.image_headers.header import (
    ImageHeader,
    check_dimensions,
    unpack,
)

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_PALETTE: Final = 3
_WITH_ALPHA: Final = frozenset({4, 6})
_DEPTHS: Final = {
    0: (1, 2, 4, 8, 16),
    2: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    4: (8, 16),
    6: (8, 16),
}


def read_png_header(data: bytes) -> ImageHeader:
    """Walk a PNG's chunks; each must be whole and match its checksum.

    Raises:
        UnreadableImage: truncated, damaged, animated, keyed transparency without a palette, an
            impossible depth, too many pixels.
    """
    size, name, width, height, depth, colour = unpack(">I4sIIBB", data, len(SIGNATURE), "PNG")
    if name != b"IHDR" or size != 13:
        raise UnreadableImage("PNG without a header chunk; export it again")
    check_dimensions(width, height)
    if depth not in _DEPTHS.get(colour, ()):
        raise UnreadableImage(
            f"PNG of colour type {colour} with {depth} bits a sample; no such PNG exists; "
            "export the picture again"
        )
    chunks = _walk(data)
    if b"acTL" in chunks:
        raise UnreadableImage("animated PNG; one picture is read; export a single one")
    if b"IDAT" not in chunks:
        raise UnreadableImage("PNG without a picture in it; export it again")
    keyed = b"tRNS" in chunks
    if keyed and colour != _PALETTE:
        raise UnreadableImage(
            "PNG whose transparency is one key colour; an alpha channel and a transparent palette "
            "are read; export the picture without transparency"
        )
    return ImageHeader(
        "PNG",
        width,
        height,
        bits=16 if depth == 16 else 8,
        orientation=orientation_of(chunks[b"eXIf"]) if b"eXIf" in chunks else 1,
        straight_alpha=keyed or colour in _WITH_ALPHA,
    )


def _walk(data: bytes) -> dict[bytes, bytes]:
    """Names of the chunks up to the end chunk; only the EXIF chunk's content is kept."""
    chunks: dict[bytes, bytes] = {}
    view = memoryview(data)
    position = len(SIGNATURE)
    while b"IEND" not in chunks:
        size, name = unpack(">I4s", data, position, "PNG")
        end = position + 8 + size
        (checksum,) = unpack(">I", data, end, "PNG")
        if zlib.crc32(view[position + 4 : end]) != checksum:
            raise UnreadableImage(
                f"damaged PNG: chunk {name.decode('ascii', 'backslashreplace')} at byte {position} "
                "does not match its checksum; copy or export it again"
            )
        chunks[name] = data[position + 8 : end] if name == b"eXIf" else b""
        position = end + 4
    return chunks
