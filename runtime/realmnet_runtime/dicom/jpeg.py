"""JPEG frames: the colour space is the DICOM header's, stated in the frame before decoding.

A JPEG does not have to say whether its three components are RGB or YCbCr; decoders then go by
markers, by the components' numbers, or guess. Here what the header says is written into the frame
as an Adobe marker, which decoders obey. A frame whose own marker says otherwise is refused: one of
the two is wrong, and no one here can know which.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.image_headers.header import truncated

_START: Final = b"\xff\xd8"
_SCAN: Final = 0xDA
_APP0, _APP1, _APP14 = 0xE0, 0xE1, 0xEE
_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
_NAMES: Final = {True: "YCbCr", False: "RGB"}


def with_colours_stated(frame: bytes, samples: int, *, ybr: bool) -> bytes:
    """The same JPEG with one marker that states its colours, and none that turns it.

    Args:
        frame: a JPEG from its start marker on; padding after its end is kept.
        samples: of a pixel, by the header.
        ybr: the header's photometric interpretation is one of YCbCr.

    Raises:
        UnreadableImage: no JPEG, another number of components, or a marker that contradicts.
    """
    if not frame.startswith(_START):
        raise UnreadableImage(
            "damaged DICOM file: its header says JPEG, and its frame is none; export it again"
        )
    kept = [_START]
    if samples == 3:
        kept.append(_adobe(transform=1 if ybr else 0))
    end = len(_START)
    for marker, begin, end in _segments(frame):
        content = frame[begin + 4 : end]
        if marker in _FRAMES and len(content) >= 6 and content[5] != samples:
            raise UnreadableImage(
                f"DICOM file has {samples} samples a pixel, and its JPEG has {content[5]}; "
                f"export it again"
            )
        said = _colours_said(marker, content)
        if samples == 3 and said is not None and said != ybr:
            raise UnreadableImage(
                f"DICOM file says its colours are {_NAMES[ybr]}, and its JPEG says "
                f"{_NAMES[said]}; export it again with the right photometric interpretation"
            )
        if said is None and not (marker == _APP1 and content.startswith(b"Exif\0")):
            kept.append(frame[begin:end])
    return b"".join([*kept, frame[end:]])


def _segments(frame: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of each segment before the first scan."""
    position = len(_START)
    while True:
        # Any number of FF may stand before a marker.
        while frame[position : position + 2] == b"\xff\xff":
            position += 1
        if position + 4 > len(frame) or frame[position] != 0xFF:
            raise truncated("JPEG", len(frame))
        marker = frame[position + 1]
        if marker == _SCAN:
            return
        (length,) = struct.unpack_from(">H", frame, position + 2)
        end = position + 2 + length
        if length < 2 or end > len(frame):
            raise truncated("JPEG", len(frame))
        yield marker, position, end
        position = end


def _colours_said(marker: int, content: bytes) -> bool | None:
    """Whether a marker says YCbCr (True) or RGB (False); None where it says nothing of colours."""
    if marker == _APP0 and content.startswith(b"JFIF\0"):
        return True
    if marker == _APP14 and content.startswith(b"Adobe") and len(content) >= 12:
        return content[11] == 1
    return None


def _adobe(transform: int) -> bytes:
    """Adobe's marker, version 100, no flags (Technical Note 5116, section 18)."""
    return struct.pack(">2sH5s3HB", b"\xff\xee", 14, b"Adobe", 100, 0, 0, transform)
