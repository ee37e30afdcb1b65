"""What every written object says of its use."""

from __future__ import annotations

from typing import Final

RESEARCH_USE: Final = "Research use only. Not a medical device."
MANUFACTURER: Final = "RealMNet toolkit (research use only)"


def plain(text: str) -> str:
    """The text in printable ASCII on one line, which every character set of DICOM holds."""
    return " ".join(text.encode("ascii", "replace").decode().replace("\\", "/").split())
