"""BMP: the Windows bitmap headers, 12 bytes (OS/2) to 124 (version 5)."""

from __future__ import annotations

from typing import Final

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.image_headers.header import (
    ImageHeader,
    check_dimensions,
    truncated,
    unpack,
)

SIGNATURE: Final = b"BM"

_OS2_HEADER: Final = 12
_WINDOWS_HEADERS: Final = (40, 52, 56, 108, 124)
_UNCOMPRESSED: Final = 0
_BIT_FIELDS: Final = 3
_DEPTHS: Final = (8, 24, 32)


def read_bmp_header(data: bytes) -> ImageHeader:
    """Check a BMP's header and that all its rows are there.

    The fourth byte of a 32-bit pixel is left out: most writers leave it zero, which read as alpha
    would blacken the picture.

    Raises:
        UnreadableImage: truncated, run-length coded, not 8, 24 or 32 bits a pixel, too many
            pixels.
    """
    pixels, header_bytes = unpack("<II", data, 10, "BMP")
    if header_bytes == _OS2_HEADER:
        width, height, _, depth = unpack("<HHHH", data, 18, "BMP")
        compression = _UNCOMPRESSED
    elif header_bytes in _WINDOWS_HEADERS:
        width, height, _, depth, compression = unpack("<iiHHI", data, 18, "BMP")
    else:
        raise UnreadableImage(
            f"BMP with a header of {header_bytes} bytes; {_OS2_HEADER} and "
            f"{', '.join(map(str, _WINDOWS_HEADERS))} are read; export it again"
        )
    # A negative height says that the rows run from the top.
    height = abs(height)
    check_dimensions(width, height)
    if depth not in _DEPTHS:
        raise UnreadableImage(
            f"BMP with {depth} bits a pixel; {', '.join(map(str, _DEPTHS))} are read; "
            "export it with 24"
        )
    if compression != _UNCOMPRESSED and (compression, depth) != (_BIT_FIELDS, 32):
        raise UnreadableImage(
            f"BMP of compression {compression} with {depth} bits a pixel; uncompressed ones are "
            "read; export it uncompressed"
        )
    row_bytes = (width * depth + 31) // 32 * 4
    if pixels + row_bytes * height > len(data):
        raise truncated("BMP", len(data))
    return ImageHeader("BMP", width, height)
