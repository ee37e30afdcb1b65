"""RLE frames: byte segments of PackBits (PS3.5 annex G), never longer than the picture."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.errors import UnreadableImage

_HEADER: Final = struct.Struct("<16L")
_NO_OPERATION: Final = 128


def decode_run_lengths(frame: bytes, planes: int, size: int) -> NDArray[np.uint8]:
    """Decode the planes of an 8-bit frame.

    Two bytes may stand for 128, so decoding stops at the size the header promised: a file cannot
    ask for more memory than its picture has.

    Args:
        frame: header of 64 bytes and the segments.
        planes: samples a pixel, each in a segment of its own.
        size: pixels of a plane.

    Returns:
        (planes, size) uint8.

    Raises:
        UnreadableImage: truncated, or another number of segments.
    """
    if len(frame) < _HEADER.size:
        raise _damaged("has no header")
    count, *offsets = _HEADER.unpack_from(frame)
    if count != planes:
        raise _damaged(f"has {count} segments where {planes} are needed")
    begins = [*offsets[:count], len(frame)]
    if begins[0] < _HEADER.size or sorted(begins) != begins:
        raise _damaged("has segments out of order")
    return np.stack(
        [
            np.frombuffer(_unpacked(frame[begin:end], size), np.uint8)
            for begin, end in pairwise(begins)
        ]
    )


def _unpacked(segment: bytes, size: int) -> bytes:
    unpacked = bytearray()
    position = 0
    while len(unpacked) < size:
        if position >= len(segment):
            raise _damaged(f"ends after {len(unpacked)} of {size} pixels")
        control = segment[position]
        if control < _NO_OPERATION:
            unpacked += segment[position + 1 : position + 2 + control]
            position += 2 + control
        elif control > _NO_OPERATION:
            unpacked += segment[position + 1 : position + 2] * (257 - control)
            position += 2
        else:
            position += 1
    return bytes(unpacked[:size])


def _damaged(how: str) -> UnreadableImage:
    return UnreadableImage(f"damaged DICOM file: an RLE frame {how}; copy or export it again")
