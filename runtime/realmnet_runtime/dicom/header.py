"""What a DICOM file says of its pixels, checked before one of them is decoded (PS3.3 C.7.6.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from realmnet_runtime.dicom.laterality import Laterality, laterality_of
from realmnet_runtime.dicom.syntaxes import Coding, coding_of, require_image_class
from realmnet_runtime.errors import ImageRefused, UnreadableImage, UsageError
from realmnet_runtime.pictures.image_headers.header import check_dimensions

if TYPE_CHECKING:
    from realmnet_runtime.dicom._elements import Elements

Photometric: TypeAlias = Literal[
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422"
]

FRAME_LIMIT: Final = 10_000
"""Most frames of a file; a stack of photographs has a few, a minute of video 1,800."""

SOP_CLASS: Final = 0x00080016
SAMPLES: Final = 0x00280002
PHOTOMETRIC: Final = 0x00280004
PLANAR: Final = 0x00280006
FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100
BITS_STORED: Final = 0x00280101
HIGH_BIT: Final = 0x00280102
SIGNED: Final = 0x00280103
LATERALITY: Final = 0x00200060
IMAGE_LATERALITY: Final = 0x00200062

HEADER_TAGS: Final = (
    SOP_CLASS,
    SAMPLES,
    PHOTOMETRIC,
    PLANAR,
    FRAMES,
    ROWS,
    COLUMNS,
    BITS_ALLOCATED,
    BITS_STORED,
    HIGH_BIT,
    SIGNED,
    LATERALITY,
    IMAGE_LATERALITY,
)

# Samples of a pixel, and the codings that may hold them (PS3.5 8.2).
_READ: Final[dict[str, tuple[int, tuple[Coding, ...]]]] = {
    "MONOCHROME1": (1, ("native", "rle", "jpeg")),
    "MONOCHROME2": (1, ("native", "rle", "jpeg")),
    "PALETTE COLOR": (1, ("native", "rle")),
    "RGB": (3, ("native", "rle", "jpeg")),
    "YBR_FULL": (3, ("native", "rle", "jpeg")),
    "YBR_FULL_422": (3, ("native", "jpeg")),
}


@dataclass(frozen=True, slots=True)
class DicomHeader:
    """A header that was checked: 8 bits, a size that is decoded, a colour space that is read.

    Attributes:
        coding: of the pixels.
        photometric: the stored photometric interpretation.
        samples: of a pixel, 1 or 3.
        planes: the three colours of an uncompressed frame are stored one after the other.
        rows: of a frame.
        columns: of a frame.
        frames: their number, 1 or more.
        laterality: the eye.
    """

    coding: Coding
    photometric: Photometric
    samples: int
    planes: bool
    rows: int
    columns: int
    frames: int
    laterality: Laterality

    @property
    def frame_bytes(self) -> int:
        """Bytes of one uncompressed frame; 4:2:2 has two samples a pixel."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return self.rows * self.columns * samples


def read_dicom_header(elements: Elements) -> DicomHeader:
    """Check the elements that describe the pixels.

    Raises:
        UnreadableImage: another kind of object, coding, colour space or depth, no size, more than
            `PIXEL_LIMIT` pixels a frame or `FRAME_LIMIT` frames.
    """
    coding = coding_of(elements.transfer_syntax)
    require_image_class(elements.text(SOP_CLASS))
    rows, columns = elements.number(ROWS) or 0, elements.number(COLUMNS) or 0
    check_dimensions(columns, rows)
    _require_eight_bits(elements)
    photometric = elements.text(PHOTOMETRIC).strip().upper()
    samples = _samples(photometric, elements.number(SAMPLES), coding)
    planes = samples == 3 and elements.number(PLANAR) == 1
    if photometric == "YBR_FULL_422" and coding == "native" and (planes or columns % 2):
        raise UnreadableImage(
            "DICOM file has YBR_FULL_422 pixels in planes or of an odd width, which the standard "
            "does not have; export it as RGB"
        )
    return DicomHeader(
        coding=coding,
        photometric=cast("Photometric", photometric),
        samples=samples,
        planes=planes,
        rows=rows,
        columns=columns,
        frames=_frames(elements.text(FRAMES)),
        laterality=laterality_of(elements.text(IMAGE_LATERALITY), elements.text(LATERALITY)),
    )


def choose_frame(asked: int | None, frames: int) -> int:
    """Number of the frame to decode, counted from 1 as DICOM does.

    Raises:
        ImageRefused: several frames, and none was asked for.
        UsageError: there is no such frame.
    """
    if asked is None:
        if frames == 1:
            return 1
        raise ImageRefused(
            f"DICOM file has {frames} frames and none was named; name one of 1 to {frames} "
            f"(frame=1, --frame 1)"
        )
    if not 1 <= asked <= frames:
        raise UsageError(f"frame {asked} of a DICOM file; it has the frames 1 to {frames}")
    return asked


def _require_eight_bits(elements: Elements) -> None:
    allocated = elements.number(BITS_ALLOCATED)
    stored = elements.number(BITS_STORED)
    if (allocated, stored, elements.number(HIGH_BIT)) != (8, 8, 7) or elements.number(SIGNED):
        raise UnreadableImage(
            f"DICOM file has {_said(stored)} bits a sample in {_said(allocated)}; unsigned ones "
            f"of 8 bits in 8 are read; export it so"
        )


def _samples(photometric: str, samples: int | None, coding: Coding) -> int:
    if photometric not in _READ:
        # What stands there may be anything, so it is not repeated.
        raise UnreadableImage(
            f"DICOM file has a photometric interpretation that is not read; "
            f"{', '.join(_READ)} are; export it as RGB"
        )
    needed, codings = _READ[photometric]
    if samples != needed:
        raise UnreadableImage(
            f"DICOM file has {_said(samples)} samples a pixel; {photometric} has {needed}; "
            f"export it again"
        )
    if coding not in codings:
        raise UnreadableImage(
            f"DICOM file has {photometric} pixels coded as {coding}, which the standard does not "
            f"have; export it as RGB"
        )
    return needed


def _frames(text: str) -> int:
    text = text.strip()
    if not text:
        return 1
    # int() would take underscores and digits of other scripts too, and any number of them.
    frames = int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0
    if not 1 <= frames <= FRAME_LIMIT:
        raise UnreadableImage(
            f"DICOM file with no number of frames from 1 to {FRAME_LIMIT}; export it again"
        )
    return frames


def _said(number: int | None) -> str:
    return "no number of" if number is None else str(number)
