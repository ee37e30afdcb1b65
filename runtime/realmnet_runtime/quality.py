"""Pictures with a field of view that are still no picture the model can answer."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.errors import ImageRefused
from realmnet_runtime.field_of_view import FieldOfView

LEAST_SATURATION: Final = 0.25
"""Two-laser pictures measure 0.92 to 0.97, ordinary fundus photographs, whose red is well above
green and green above blue, about 0.5 to 0.8; grey ones 0, and with noise of three grey levels in
each channel at most 0.19."""

_MOST_SAMPLES_A_SIDE: Final = 128


def saturation(image: NDArray[np.uint8], field_of_view: FieldOfView) -> float:
    """Share of the light inside the aperture that is not grey.

    Args:
        image: (H, W, 3) uint8 RGB.
        field_of_view: of this image.

    Returns:
        Sum of (largest - smallest channel) over sum of the largest channel, 0..1, on a grid of at
        most 128 x 128 samples of the box; 0 for a black aperture.
    """
    x0, y0, x1, y1 = field_of_view.box
    step = max(1, -(-max(x1 - x0, y1 - y0) // _MOST_SAMPLES_A_SIDE))
    inside = field_of_view.mask[y0:y1:step, x0:x1:step]
    red, green, blue = (image[y0:y1:step, x0:x1:step, channel][inside] for channel in range(3))
    light = int(np.maximum(np.maximum(red, green), blue).sum(dtype=np.int64))
    grey = int(np.minimum(np.minimum(red, green), blue).sum(dtype=np.int64))
    return (light - grey) / light if light else 0.0


def require_colour(image: NDArray[np.uint8], field_of_view: FieldOfView) -> None:
    """Refuse angiograms, autofluorescence and single-laser pictures.

    They show an eye, so they have a field of view, yet the model has never seen one and would
    answer all the same.

    Raises:
        ImageRefused: the picture is grey.
    """
    found = saturation(image, field_of_view)
    if found < LEAST_SATURATION:
        raise ImageRefused(
            f"picture is grey (saturation {found:.2f}, {LEAST_SATURATION} needed), as angiograms "
            f"and autofluorescence are; send the colour picture"
        )
