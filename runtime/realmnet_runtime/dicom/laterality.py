"""Which eye a DICOM file says it shows."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Laterality: TypeAlias = Literal["right", "left", "both", "unknown"]

_EYES: Final[dict[str, Laterality]] = {"R": "right", "L": "left", "B": "both"}


def laterality_of(image_laterality: str, laterality: str) -> Laterality:
    """The eye, by Image Laterality (0020,0062), then Laterality (0020,0060), else unknown.

    A value that is neither R, L nor B counts as absent: it is never guessed at, and never shown.
    """
    for value in (image_laterality, laterality):
        eye = _EYES.get(value.strip().upper())
        if eye is not None:
            return eye
    return "unknown"
