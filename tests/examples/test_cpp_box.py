"""The C++ box finder against `find_field_of_view`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_benchmarks.phantoms import draw_population, render
from realmnet_runtime.aperture.field_of_view import FieldOfView, find_field_of_view
from realmnet_runtime.errors import NoFieldOfView

Image = NDArray[np.uint8]
Ask = Callable[[Sequence[Image]], list[list[str]]]

REAL = Path(__file__).parents[3] / "shared" / "images" / "uwf"
SIZES = [(768, 975), (480, 384), (200, 250), (307, 390), (96, 120)]


def saturation(image: Image, field_of_view: FieldOfView) -> float:
    """(largest - smallest channel) over the largest, summed on at most 128 x 128 samples."""
    x0, y0, x1, y1 = field_of_view.box
    step = max(1, -(-max(x1 - x0, y1 - y0) // 128))
    inside = field_of_view.mask[y0:y1:step, x0:x1:step]
    samples = image[y0:y1:step, x0:x1:step][inside].astype(np.int64)
    light = int(samples.max(axis=1).sum())
    return (light - int(samples.min(axis=1).sum())) / light if light else 0.0


def compare(images: Sequence[Image], ask: Ask, folder: Path) -> None:
    """Boxes to the pixel, masks but for a few pixels of the rim, saturation to its digits."""
    for number, (image, words) in enumerate(zip(images, ask(images), strict=True)):
        expected = find_field_of_view(image)
        assert tuple(map(int, words[:4])) == expected.box, number
        mask = np.fromfile(folder / f"{number}.ppm.mask", np.uint8).reshape(image.shape[:2]) > 0
        assert np.count_nonzero(mask) == int(words[5])
        # A side in float32 now and then falls on the other side of a pixel's middle.
        assert np.count_nonzero(mask ^ expected.mask) <= 12
        assert abs(float(words[4]) - saturation(image, expected)) <= 1e-4


@pytest.mark.parametrize("border", ["black", "device"])
def test_phantoms(border: str, boxes: Ask, tmp_path: Path) -> None:
    cases = draw_population(14, seed=11, images_per_patient=2)
    chosen = [case for case in cases if case.border == border][:8]
    images = [render(case, *SIZES[index % len(SIZES)]).image for index, case in enumerate(chosen)]
    assert len(images) == 8
    compare(images, boxes, tmp_path)


def test_margins_turns_and_cuts(boxes: Ask, tmp_path: Path) -> None:
    cases = draw_population(2, seed=7, images_per_patient=2)
    images = []
    for case in cases:
        image = render(case, 307, 390).image
        x0, y0, x1, y1 = find_field_of_view(image).box
        wide = np.pad(image, ((150, 240), (310, 90), (0, 0)))
        # Rounded up, so that whole-number reduction drops a strip.
        enlarged = cv2.resize(image, (1601, 1259), interpolation=cv2.INTER_LINEAR_EXACT)
        others = (image[y0:y1, x0:x1], wide, np.rot90(image), enlarged)
        images += [np.ascontiguousarray(other, np.uint8) for other in others]
    compare(images, boxes, tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/images beside the repository")
def test_real_pictures(boxes: Ask, tmp_path: Path) -> None:
    images: list[Image] = []
    for path in sorted(REAL.iterdir()):
        image = np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), np.uint8)
        quarter = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        images += [image, np.asarray(quarter, np.uint8)]
    assert images
    compare(images, boxes, tmp_path)


def refused_pictures() -> list[Image]:
    random = np.random.default_rng(0)
    lights = np.full((300, 400, 3), 2, np.uint8)
    sliver = np.zeros((400, 400, 3), np.uint8)
    sliver[:, 100:110] = np.linspace(60, 250, 400).astype(np.uint8)[:, None, None]
    for x, y in ((20, 30), (350, 40), (200, 250)):
        lights[y : y + 9, x : x + 9] = 200
    page = np.full((900, 700, 3), 255, np.uint8)
    for y in range(60, 880, 30):
        cv2.putText(page, "A page of a report with words", (30, y), 0, 1.1, (20, 20, 20), 2)
    return [
        np.full((31, 90, 3), 90, np.uint8),
        np.zeros((300, 400, 3), np.uint8),
        np.full((300, 400, 3), 90, np.uint8),
        random.integers(0, 256, (300, 400, 3)).astype(np.uint8),
        lights,
        sliver,
        page,
    ]


def test_refusals_are_the_same(boxes: Ask) -> None:
    images = refused_pictures()
    reasons = ["at least 32", "black", "blank", "noise", "is lit in large", "too narrow", "white"]
    for image, words, reason in zip(images, boxes(images), reasons, strict=True):
        with pytest.raises(NoFieldOfView, match=reason):
            find_field_of_view(image)
        assert words[0] == "none"
        assert reason in " ".join(words)


@pytest.mark.parametrize(
    "content",
    [b"", b"P5\n4 4\n255\n" + bytes(16), b"P6\n4 4\n255\n" + bytes(47), b"P6\n-4 4\n255\n"],
)
def test_files_that_are_no_ppm(content: bytes, find_box: Path, tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(content)
    done = subprocess.run(
        [find_box, tmp_path / "a.ppm"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "PPM" in done.stderr
