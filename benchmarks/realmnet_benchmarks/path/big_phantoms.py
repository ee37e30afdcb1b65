"""Phantoms as files of a camera: as many pixels and bytes as the real ones have.

Real laser pictures of this kind are JPEGs of about 3,900 x 3,000 pixels at quality 75 with halved
colour planes, 1.2 to 1.7 MB. A phantom's grain is coarser to compress, so its quality is
chosen a picture, for a size drawn between the two.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.phantom_splits import SplitPlan, draw_splits
from realmnet_benchmarks.phantoms import PhantomCase, render
from realmnet_benchmarks.phantoms.streams import stream

ROWS: Final = 3_072
COLUMNS: Final = 3_900
SMALLEST_BYTES: Final = 1_200_000
LARGEST_BYTES: Final = 1_700_000
_QUALITIES: Final = range(20, 96)


def draw_cases(pictures: int, images_per_patient: int, seed: int) -> list[PhantomCase]:
    """So many phantoms, drawn as the test table is; a longer list begins with the shorter's eyes.

    Args:
        pictures: at least 1.
        images_per_patient: shared between both eyes, at least 1.
        seed: 0 or more.
    """
    patients = -(-pictures // images_per_patient)
    plan = SplitPlan(
        train=0,
        dev=0,
        natural=0,
        test=patients,
        images_per_patient=images_per_patient,
        seed=seed,
    )
    return list(draw_splits(plan)["test"][:pictures])


def camera_file(case: PhantomCase, rows: int = ROWS, columns: int = COLUMNS) -> bytes:
    """The JPEG of a phantom; the same bytes for the same case on one OpenCV release.

    A size other than a camera's is given its share of the bytes.

    Args:
        case: what to draw.
        rows: 96..8192.
        columns: 96..8192.
    """
    picture = np.ascontiguousarray(render(case, rows, columns).image[..., ::-1])
    share = rows * columns / (ROWS * COLUMNS)
    drawn = stream(case.seed, "file", case.eye, case.image).uniform(SMALLEST_BYTES, LARGEST_BYTES)
    return _of_size(picture, round(drawn * share))


def _of_size(picture: NDArray[np.uint8], most: int) -> bytes:
    """The JPEG of highest quality that is not larger than so many bytes; else the smallest."""
    low, high = _QUALITIES[0], _QUALITIES[-1]
    kept = _encoded(picture, low)
    while low < high:
        middle = (low + high + 1) // 2
        tried = _encoded(picture, middle)
        if len(tried) <= most:
            low, kept = middle, tried
        else:
            high = middle - 1
    return kept


def _encoded(picture: NDArray[np.uint8], quality: int) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
