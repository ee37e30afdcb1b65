"""Kinds of DICOM object and of pixel coding (PS3.4 annex B, PS3.5 annex A), and which are read."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from realmnet_runtime.errors import UnreadableImage

Coding: TypeAlias = Literal["native", "rle", "jpeg"]

IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"

_CODINGS: Final[dict[str, Coding]] = {
    IMPLICIT_LITTLE_ENDIAN: "native",
    "1.2.840.10008.1.2.1": "native",
    "1.2.840.10008.1.2.5": "rle",
    "1.2.840.10008.1.2.4.50": "jpeg",
    "1.2.840.10008.1.2.4.51": "jpeg",
}

_OTHER_SYNTAXES: Final = {
    # A deflated file is one zip stream: its size is known only once it was inflated.
    "1.2.840.10008.1.2.1.99": "deflated",
    "1.2.840.10008.1.2.2": "big endian",
    "1.2.840.10008.1.2.4.57": "JPEG lossless",
    "1.2.840.10008.1.2.4.70": "JPEG lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.110": "JPEG XL",
    "1.2.840.10008.1.2.4.111": "JPEG XL",
    "1.2.840.10008.1.2.4.112": "JPEG XL",
    "1.2.840.10008.1.2.4.201": "high-throughput JPEG 2000",
    "1.2.840.10008.1.2.4.202": "high-throughput JPEG 2000",
    "1.2.840.10008.1.2.4.203": "high-throughput JPEG 2000",
    **{f"1.2.840.10008.1.2.4.{number}": "video" for number in range(100, 109)},
}

_IMAGES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.77.1.5.1",  # Ophthalmic Photography 8 Bit
        "1.2.840.10008.5.1.4.1.1.77.1.5.5",  # Wide Field ... Stereographic Projection
        "1.2.840.10008.5.1.4.1.1.77.1.5.6",  # Wide Field ... 3D Coordinates
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
        "1.2.840.10008.5.1.4.1.1.7.2",  # Multi-frame Grayscale Byte Secondary Capture
        "1.2.840.10008.5.1.4.1.1.7.4",  # Multi-frame True Color Secondary Capture
    }
)

_OTHER_CLASSES: Final = (
    ("1.2.840.10008.5.1.4.1.1.77.1.5.2", "an ophthalmic photograph of 16 bits"),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.4", "an ophthalmic tomogram (OCT)"),
    ("1.2.840.10008.5.1.4.1.1.77.1.5.", "another ophthalmic image"),
    ("1.2.840.10008.5.1.4.1.1.88.", "a structured report"),
    ("1.2.840.10008.5.1.4.1.1.104.", "an encapsulated document"),
    ("1.2.840.10008.1.3.10", "a directory of files (DICOMDIR)"),
)


def coding_of(transfer_syntax: str) -> Coding:
    """How the pixels of a transfer syntax are coded.

    Raises:
        UnreadableImage: the syntax is none of those that are read.
    """
    coding = _CODINGS.get(transfer_syntax)
    if coding is None:
        name = _OTHER_SYNTAXES.get(transfer_syntax, "of a transfer syntax unknown to this toolkit")
        raise UnreadableImage(
            f"DICOM file is {name}; uncompressed little endian, RLE and 8-bit JPEG (baseline, "
            f"extended) are read; send it as one of these"
        )
    return coding


def require_image_class(sop_class: str) -> None:
    """Refuse an object that is no picture of the kinds that are read.

    Raises:
        UnreadableImage: the SOP class is another.
    """
    if sop_class not in _IMAGES:
        kind = next(
            (name for prefix, name in _OTHER_CLASSES if sop_class.startswith(prefix)),
            "an object of another kind",
        )
        raise UnreadableImage(
            f"DICOM file is {kind}; ophthalmic photographs of 8 bits, wide-field ophthalmic "
            f"photographs and secondary captures are read; send one of these"
        )
