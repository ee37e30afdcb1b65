"""What a picture file says of itself, and the limits every kind shares."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final, Literal

from realmnet_runtime.errors import UnreadableImage

PIXEL_LIMIT: Final = 200_000_000
"""Most pixels of a picture that is decoded; ultra-widefield cameras give 12 to 16 million."""

TURNED: Final = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange height and width."""

ImageFormat = Literal["JPEG", "PNG", "BMP", "TIFF"]


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """A header that was checked: the file is whole and of a kind that is read.

    Attributes:
        format: by content, never by the file's suffix.
        width: of the stored pixels, before `orientation`.
        height: of the stored pixels, before `orientation`.
        bits: per sample, 8 or 16; palettes count as the 8 bits they expand to.
        orientation: EXIF value 1..8 still to be applied to the decoded pixels; 1 where there is
            none or where the decoder applies it itself (TIFF).
        straight_alpha: the decoder returns an alpha channel that is not yet multiplied in.
    """

    format: ImageFormat
    width: int
    height: int
    bits: Literal[8, 16] = 8
    orientation: int = 1
    straight_alpha: bool = False

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) once `orientation` is applied."""
        if self.orientation in TURNED:
            return self.width, self.height
        return self.height, self.width


def check_dimensions(width: int, height: int) -> None:
    """Refuse an empty picture and a decompression bomb before any pixel is decoded.

    Raises:
        UnreadableImage: no pixels, or more than `PIXEL_LIMIT`.
    """
    if width < 1 or height < 1:
        raise UnreadableImage(f"header says {width} x {height} pixels; export the picture again")
    if width * height > PIXEL_LIMIT:
        raise UnreadableImage(
            f"header says {width} x {height} = {width * height / 1e6:.0f} megapixels; at most "
            f"{PIXEL_LIMIT // 1_000_000} are decoded; export the picture at its camera's size"
        )


def unpack(layout: str, data: bytes, offset: int, kind: ImageFormat) -> tuple[Any, ...]:
    """`struct.unpack_from` whose lack of bytes is a truncated picture.

    Raises:
        UnreadableImage: the data ends inside the field.
    """
    try:
        return struct.unpack_from(layout, data, offset)
    # Offsets of 64 bits can lie beyond what an index may be.
    except (struct.error, OverflowError) as error:
        raise truncated(kind, len(data)) from error


def truncated(kind: ImageFormat, size: int) -> UnreadableImage:
    """The one line for a file that ends too early."""
    return UnreadableImage(
        f"truncated {kind}: the file ends after {size} bytes, before its picture does; "
        "copy or export it again"
    )
