"""JPEG: every segment and scan up to the end marker (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from typing import Final

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.image_headers.exif import orientation_of
from realmnet_runtime.pictures.image_headers.header import (
    ImageHeader,
    check_dimensions,
    truncated,
    unpack,
)

SIGNATURE: Final = b"\xff\xd8\xff"

# In coded data FF is followed by a stuffed 00 or a restart marker D0..D7, and FF FF is fill.
_MARKER: Final = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_END_OF_IMAGE: Final = 0xD9
_START_OF_SCAN: Final = 0xDA
_EXIF_SEGMENT: Final = 0xE1
_STANDALONE: Final = frozenset({0x01, 0xD8})
_FRAMES_READ: Final = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
_FRAMES_REFUSED: Final = {
    0xC3: "lossless",
    0xC5: "differential",
    0xC6: "differential progressive",
    0xC7: "differential lossless",
    0xC9: "arithmetic-coded",
    0xCA: "arithmetic-coded progressive",
    0xCB: "arithmetic-coded lossless",
    0xCD: "arithmetic-coded differential",
    0xCE: "arithmetic-coded differential progressive",
    0xCF: "arithmetic-coded differential lossless",
}


def read_jpeg_header(data: bytes) -> ImageHeader:
    """Walk a JPEG from its first marker to its end marker.

    OpenCV before 4.12 decodes a file cut inside a scan and fills the rest with grey, so the end
    marker must be there; what follows it (padding, a second picture) is not looked at, and the
    marker of a thumbnail inside a segment does not count.

    Raises:
        UnreadableImage: truncated, CMYK or YCCK, not 8 bits, a coding that is not read, too many
            pixels.
    """
    width = height = 0
    orientation = 1
    scanned = False
    position = len(SIGNATURE) - 1
    while match := _MARKER.search(data, position):
        marker = match[1][0]
        position = match.end()
        if marker == _END_OF_IMAGE:
            break
        if marker in _STANDALONE:
            continue
        (length,) = unpack(">H", data, position, "JPEG")
        if marker in _FRAMES_REFUSED:
            raise UnreadableImage(
                f"{_FRAMES_REFUSED[marker]} JPEG; baseline and progressive ones are read; "
                "export the picture as a baseline JPEG or as PNG"
            )
        if marker in _FRAMES_READ:
            width, height = _read_frame(data, position)
        elif marker == _EXIF_SEGMENT and data.startswith(b"Exif\0\0", position + 2):
            orientation = orientation_of(data[position + 8 : position + length])
        scanned = scanned or marker == _START_OF_SCAN
        position += length
    else:
        raise truncated("JPEG", len(data))
    if not (width and scanned):
        raise UnreadableImage("JPEG without a picture in it; export it again")
    return ImageHeader("JPEG", width, height, orientation=orientation)


def _read_frame(data: bytes, position: int) -> tuple[int, int]:
    bits, height, width, components = unpack(">BHHB", data, position + 2, "JPEG")
    if components == 4:
        raise UnreadableImage(
            "JPEG with four colour channels (CMYK or YCCK, made for print); grey and three-channel "
            "ones are read; export the picture as RGB"
        )
    if components not in {1, 3}:
        raise UnreadableImage(
            f"JPEG with {components} colour channels; 1 and 3 are read; export the picture as RGB"
        )
    if bits != 8:
        raise UnreadableImage(
            f"JPEG with {bits} bits a sample; 8 are read; export the picture as 16-bit PNG"
        )
    check_dimensions(width, height)
    return width, height
