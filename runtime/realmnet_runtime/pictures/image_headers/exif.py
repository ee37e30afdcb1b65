"""The one EXIF tag that moves pixels."""

from __future__ import annotations

from typing import Final

from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.image_headers.directory import read_directory, read_preamble

_ORIENTATION: Final = 274


def orientation_of(exif: bytes) -> int:
    """Orientation 1..8 of an EXIF block (a TIFF without pixels).

    Damaged metadata does not make a whole picture unreadable: it counts as absent, 1, as does a
    value outside 1..8.
    """
    try:
        layout, first = read_preamble(exif)
        values = read_directory(exif, first, layout).tags.get(_ORIENTATION, (1,))
    except UnreadableImage:
        return 1
    return values[0] if values and 1 <= values[0] <= 8 else 1
