"""One frame of a DICOM file as RGB."""

from __future__ import annotations

import contextlib
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import get_frame

from realmnet_runtime.dicom._elements import read_elements
from realmnet_runtime.dicom.colours import PALETTE_TAGS, arranged, to_rgb, upright_grey
from realmnet_runtime.dicom.header import (
    HEADER_TAGS,
    DicomHeader,
    choose_frame,
    read_dicom_header,
)
from realmnet_runtime.dicom.jpeg import with_colours_stated
from realmnet_runtime.dicom.picture import DicomPicture
from realmnet_runtime.dicom.run_lengths import decode_run_lengths
from realmnet_runtime.errors import UnreadableImage
from realmnet_runtime.pictures.image_headers import read_header
from realmnet_runtime.pictures.images import decode_file

_PIXELS: Final = 0x7FE00010


def read_picture(data: bytes, *, frame: int | None, model_size: int | None) -> DicomPicture:
    """See `realmnet_runtime.dicom.decode_dicom`."""
    elements = read_elements(data, (*HEADER_TAGS, *PALETTE_TAGS, _PIXELS))
    header = read_dicom_header(elements)
    number = choose_frame(frame, header.frames)
    stored = elements.raw(_PIXELS)
    if not stored:
        raise UnreadableImage("DICOM file without pixels; send the picture, not its header alone")
    if header.coding == "jpeg":
        pixels = _from_jpeg(_encapsulated(stored, header, number), header, model_size)
    elif header.coding == "rle":
        samples = _from_run_lengths(_encapsulated(stored, header, number), header)
        pixels = to_rgb(samples, header, elements)
    else:
        samples = arranged(_native_frame(stored, header, number), header)
        pixels = to_rgb(samples, header, elements)
    return DicomPicture(
        pixels=pixels,
        original_size=(header.rows, header.columns),
        laterality=header.laterality,
        frame=number,
        frames=header.frames,
    )


def _native_frame(stored: bytes, header: DicomHeader, number: int) -> bytes:
    needed = header.frames * header.frame_bytes
    # Values have an even length, so one byte may be padding.
    if len(stored) not in {needed, needed + needed % 2}:
        raise UnreadableImage(
            f"DICOM file has {len(stored)} bytes of pixels where its header asks for {needed}; "
            f"copy or export it again"
        )
    begin = (number - 1) * header.frame_bytes
    return stored[begin : begin + header.frame_bytes]


def _encapsulated(stored: bytes, header: DicomHeader, number: int) -> bytes:
    """The frame's coded bytes; what pydicom raises is not passed on, as in `_elements`."""
    frame = b""
    with contextlib.suppress(Exception):
        frame = get_frame(stored, number - 1, number_of_frames=header.frames)
    if not frame:
        raise UnreadableImage(
            f"damaged DICOM file: frame {number} of {header.frames} cannot be found; copy or "
            f"export it again"
        )
    return frame


def _from_run_lengths(frame: bytes, header: DicomHeader) -> NDArray[np.uint8]:
    planes = decode_run_lengths(frame, header.samples, header.rows * header.columns)
    shaped = planes.reshape(header.samples, header.rows, header.columns)
    return shaped[0] if header.samples == 1 else shaped.transpose(1, 2, 0)


def _from_jpeg(frame: bytes, header: DicomHeader, model_size: int | None) -> NDArray[np.uint8]:
    stated = with_colours_stated(
        frame, header.samples, ybr=header.photometric.startswith("YBR_FULL")
    )
    inner = read_header(stated)
    if (inner.height, inner.width) != (header.rows, header.columns):
        raise UnreadableImage(
            f"DICOM file says {header.columns} x {header.rows} pixels, and its JPEG has "
            f"{inner.width} x {inner.height}; export it again"
        )
    return upright_grey(decode_file(stated, inner, model_size), header)
