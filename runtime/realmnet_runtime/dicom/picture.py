"""A picture out of a DICOM file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.dicom.laterality import Laterality


@dataclass(frozen=True, slots=True, eq=False)
class DicomPicture:
    """One decoded frame.

    Attributes:
        pixels: (h, w, 3) uint8 RGB; smaller than the original after a scaled decode.
        original_size: (rows, columns) of the frame.
        laterality: the eye, as the header says.
        frame: number of the frame, from 1.
        frames: how many the file has.
    """

    pixels: NDArray[np.uint8]
    original_size: tuple[int, int]
    laterality: Laterality
    frame: int
    frames: int
