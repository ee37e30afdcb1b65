"""Real ultra-widefield pictures beside the repository, against boxes drawn by eye."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import find_field_of_view

IMAGES = Path(__file__).parents[4] / "shared" / "images"
BOXES = IMAGES / "field_of_view_boxes.csv"
pytestmark = pytest.mark.skipif(
    not BOXES.exists(), reason="no ../shared/images beside the repository"
)
Call = Callable[..., Any]
Image = NDArray[np.uint8]


def drawn_by_eye() -> list[dict[str, str]]:
    if not BOXES.exists():
        return []
    with BOXES.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(params=drawn_by_eye(), ids=lambda row: Path(row["file"]).stem)
def row(request: pytest.FixtureRequest) -> dict[str, str]:
    found: dict[str, str] = request.param
    return found


def read(name: str) -> Image:
    image = cv2.imread(str(IMAGES / name), cv2.IMREAD_COLOR)
    assert image is not None
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def quarter(image: Image) -> Image:
    """As the smallest decode of a camera's picture gives it; small pictures stay."""
    if max(image.shape) < 2_000:
        return image
    size = (image.shape[1] // 4, image.shape[0] // 4)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def box_iou(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)]
    return width * height / (sum(areas) - width * height)


def test_the_box_is_where_a_person_draws_it(row: dict[str, str]) -> None:
    image = read(row["file"])
    assert image.shape[:2] == (int(row["height"]), int(row["width"]))
    by_eye = tuple(int(row[side]) for side in ("x0", "y0", "x1", "y1"))
    assert box_iou(find_field_of_view(image).box, by_eye) >= 0.93
    small = quarter(image)
    scaled = find_field_of_view(small).scaled_to(*image.shape[:2])
    assert box_iou(scaled.box, by_eye) >= 0.93


@pytest.mark.parametrize(
    ("margins", "grey_levels", "quality"),
    [
        ((0.4, 0.4, 0.4, 0.4), 0, None),
        ((0.1, 0.4, 0.2, 0.3), 0, 95),
        ((0.25, 0.12, 0.37, 0.18), 3, 70),
        ((0.3, 0.3, 0.1, 0.1), 6, 85),
    ],
)
def test_wide_black_margins_change_nothing(
    row: dict[str, str],
    measure: Call,
    compress: Call,
    *,
    margins: tuple[float, ...],
    grey_levels: int,
    quality: int | None,
) -> None:
    image = quarter(read(row["file"]))
    height, width = image.shape[:2]
    left, right, above, below = (np.array(margins) * [width, width, height, height]).astype(int)
    rng = np.random.default_rng(grey_levels)
    size = (height + above + below, width + left + right, 3)
    padded = rng.integers(0, grey_levels + 1, size).astype(np.uint8)
    padded[above : above + height, left : left + width] = image
    if quality is not None:
        padded = compress(padded, quality)
    alone, field = find_field_of_view(image), find_field_of_view(padded)
    shifted = np.zeros(padded.shape[:2], bool)
    shifted[above : above + height, left : left + width] = alone.mask
    assert measure(field, shifted, alone.box).mask_iou >= 0.98
    moved = np.abs(np.subtract(field.box, alone.box) - [left, above, left, above])
    assert (moved <= 0.01 * np.array([width, height] * 2)).all()


def test_cutting_to_the_box_and_looking_again_moves_no_side(row: dict[str, str]) -> None:
    for image in (read(row["file"]), quarter(read(row["file"]))):
        x0, y0, x1, y1 = find_field_of_view(image).box
        again = find_field_of_view(image[y0:y1, x0:x1]).box
        moved = np.abs(np.subtract(again, (0, 0, x1 - x0, y1 - y0)))
        assert (moved <= 0.01 * np.array([x1 - x0, y1 - y0] * 2)).all()


def test_a_prepared_picture_stays_whole(row: dict[str, str]) -> None:
    """Cut to the box and stretched to a square, as the released data set is."""
    image = read(row["file"])
    x0, y0, x1, y1 = find_field_of_view(image).box
    square = cv2.resize(image[y0:y1, x0:x1], (384, 384), interpolation=cv2.INTER_AREA)
    box = find_field_of_view(np.asarray(square, np.uint8)).box
    assert np.abs(np.subtract(box, (0, 0, 384, 384))).max() <= 4


def test_a_turned_picture_has_the_turned_aperture(row: dict[str, str], measure: Call) -> None:
    image = quarter(read(row["file"]))
    field = find_field_of_view(image)
    for turns in (1, 2, 3):
        turned = find_field_of_view(np.rot90(image, turns))
        assert measure(turned, np.rot90(field.mask, turns), turned.box).mask_iou >= 0.98


def test_a_grey_angiogram_has_a_field_of_view() -> None:
    """Whether it can be graded is another question, asked elsewhere."""
    image = read("other/uwafagan_fa_1.jpg")
    x0, y0, x1, y1 = find_field_of_view(image).box
    assert (x1 - x0) * (y1 - y0) >= 0.75 * image.shape[0] * image.shape[1]
