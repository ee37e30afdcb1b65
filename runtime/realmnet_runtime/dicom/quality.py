"""What a report says of the picture's quality."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gradability:
    """Whether a picture can be graded.

    Attributes:
        gradable: it passed the gate.
        reasons: why not, or what was noted; plain words without personal data.
    """

    gradable: bool
    reasons: tuple[str, ...] = ()
