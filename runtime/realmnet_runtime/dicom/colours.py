"""From stored samples to RGB, by the stored photometric interpretation (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.errors import UnreadableImage

if TYPE_CHECKING:
    from realmnet_runtime.dicom._elements import Elements
    from realmnet_runtime.dicom.header import DicomHeader

_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_ENTRIES: Final = (0x00281201, 0x00281202, 0x00281203)
PALETTE_TAGS: Final = (*_DESCRIPTORS, *_ENTRIES)
_ALL_ENTRIES: Final = 65536


def arranged(stored: bytes, header: DicomHeader) -> NDArray[np.uint8]:
    """An uncompressed frame's bytes as an array.

    Returns:
        (rows, columns) uint8 of one sample a pixel, else (rows, columns, 3); 4:2:2 is expanded by
        repeating each colour for both of its pixels.
    """
    flat = np.frombuffer(stored, np.uint8)
    if header.samples == 1:
        return flat.reshape(header.rows, header.columns)
    if header.photometric == "YBR_FULL_422":
        pairs = flat.reshape(header.rows, header.columns // 2, 4)
        full = np.empty((header.rows, header.columns, 3), np.uint8)
        full[..., 0] = pairs[..., :2].reshape(header.rows, header.columns)
        full[..., 1:] = np.repeat(pairs[..., 2:], 2, axis=1)
        return full
    if header.planes:
        return flat.reshape(3, header.rows, header.columns).transpose(1, 2, 0)
    return flat.reshape(header.rows, header.columns, 3)


def to_rgb(
    samples: NDArray[np.uint8], header: DicomHeader, elements: Elements
) -> NDArray[np.uint8]:
    """Convert samples as `arranged` gives them.

    Returns:
        (rows, columns, 3) uint8 RGB in memory of its own; grey is repeated in the three channels.

    Raises:
        UnreadableImage: a palette that is missing, damaged or segmented.
    """
    if header.photometric == "RGB":
        return np.array(samples, np.uint8, order="C")
    if header.photometric in {"YBR_FULL", "YBR_FULL_422"}:
        # Full-range BT.601, in integers; OpenCV wants Cr before Cb.
        luma_red_blue = np.ascontiguousarray(samples[..., [0, 2, 1]])
        return np.asarray(cv2.cvtColor(luma_red_blue, cv2.COLOR_YCrCb2RGB), np.uint8)
    if header.photometric == "PALETTE COLOR":
        table = _palette(elements)
        return np.ascontiguousarray(table[samples])
    return _repeated(upright_grey(samples, header))


def upright_grey(samples: NDArray[np.uint8], header: DicomHeader) -> NDArray[np.uint8]:
    """Samples whose largest is the brightest: of MONOCHROME1 the smallest is."""
    return 255 - samples if header.photometric == "MONOCHROME1" else samples


def _repeated(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def _palette(elements: Elements) -> NDArray[np.uint8]:
    """(256, 3) uint8: the colour of each stored value."""
    columns = [
        _palette_column(elements.raw(descriptor), elements.raw(entries))
        for descriptor, entries in zip(_DESCRIPTORS, _ENTRIES, strict=True)
    ]
    return np.stack(columns, axis=1)


def _palette_column(descriptor: bytes, entries: bytes) -> NDArray[np.uint8]:
    """(256,) uint8: one channel; values outside the table take its first or last entry."""
    if len(descriptor) != 6:
        raise _bad_palette("is missing or segmented")
    count, first, bits = np.frombuffer(descriptor, "<u2").tolist()
    count = count or _ALL_ENTRIES
    if bits == 8 and len(entries) in {count, count + count % 2}:
        values = np.frombuffer(entries, np.uint8)[:count]
    elif bits in {8, 16} and len(entries) == 2 * count:
        words = np.frombuffer(entries, "<u2").astype(np.uint32)
        # As of 16-bit pictures: value / 257, rounded. Some writers give each 8-bit entry a word.
        values = ((words + 128) // 257 if bits == 16 else words & 255).astype(np.uint8)
    else:
        raise _bad_palette(f"says {count} entries of {bits} bits and holds {len(entries)} bytes")
    column: NDArray[np.uint8] = values[np.clip(np.arange(256) - first, 0, count - 1)]
    return column


def _bad_palette(how: str) -> UnreadableImage:
    return UnreadableImage(f"DICOM file's palette {how}; export it as RGB")
