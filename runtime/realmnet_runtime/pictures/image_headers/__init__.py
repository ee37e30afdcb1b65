"""Headers of the four kinds of picture that are read, checked before a decoder sees them.

Decoders differ in what they make of a file that is cut, damaged or of a rare kind: some raise,
some print, some return grey or noise. Here the header decides first, so that what reaches the
decoder is whole and of a kind it is known to decode rightly.
"""

from __future__ import annotations

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.image_headers import bmp, directory, jpeg, png, tiff
from realmnet_runtime.pictures.image_headers.header import PIXEL_LIMIT, ImageFormat, ImageHeader

__all__ = ["PIXEL_LIMIT", "ImageFormat", "ImageHeader", "read_header"]

_READ = "JPEG, PNG, BMP and TIFF are read"
# Offset, bytes and name of what people most often send instead.
_KNOWN_OTHERS = (
    (0, b"GIF8", "a GIF picture"),
    (8, b"WEBP", "a WebP picture"),
    (4, b"ftyp", "an HEIC, AVIF or video file"),
    (4, b"jP  ", "a JPEG 2000 picture"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive"),
)


def read_header(data: bytes) -> ImageHeader:
    """Tell the kind of a picture by its content and check that it can be decoded whole.

    Args:
        data: the whole file.

    Raises:
        UnreadableImage: empty, not one of the four kinds, truncated, more than `PIXEL_LIMIT`
            pixels, or a variety of its kind that is not read; the message says which and the cure.
    """
    if not data:
        raise UnreadableImage(f"empty file (0 bytes); {_READ}; copy or export it again")
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.read_jpeg_header(data)
    if data.startswith(png.SIGNATURE):
        return png.read_png_header(data)
    if data.startswith(directory.SIGNATURES):
        return tiff.read_tiff_header(data)
    if data.startswith(bmp.SIGNATURE):
        return bmp.read_bmp_header(data)
    kind = next(
        (name for offset, sign, name in _KNOWN_OTHERS if data.startswith(sign, offset)),
        "not a picture, whatever its suffix says",
    )
    raise UnreadableImage(f"{len(data)} bytes are {kind}; {_READ}; export it as one of them")
