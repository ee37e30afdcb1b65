"""Pictures to be measured: drawn, spoilt on purpose, and real where they are at hand."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

Image = NDArray[np.uint8]
SHARED = Path(__file__).parents[4] / "shared" / "images"


def shared_pictures(folder: str) -> list[Path]:
    return sorted((SHARED / folder).glob("*")) if SHARED.is_dir() else []


def grey_of(image: Image) -> Image:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def blurred(image: Image, sigma: float) -> Image:
    return image if sigma == 0 else np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.uint8)


def lit(image: Image, factor: float) -> Image:
    return np.clip(image * float(factor), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def real_uwf() -> list[Path]:
    paths = shared_pictures("uwf")
    if not paths:
        pytest.skip("no ../shared/images beside the repository")
    return paths
