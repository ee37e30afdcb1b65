from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from realmnet_benchmarks.phantoms import (
    BALANCED,
    CONFUSERS,
    HOSPITALS,
    PERIPHERAL_SIGNS,
    Hospital,
    PhantomCase,
    draw_population,
    place_window,
    render,
)
from realmnet_benchmarks.phantoms.anatomy import LESIONS, eye_sheet, paint_eye, tessellation
from realmnet_benchmarks.phantoms.canvas import HALF_HEIGHT, HALF_WIDTH
from realmnet_benchmarks.phantoms.optics import gaze
from realmnet_runtime.errors import ConfigurationError

Make = Callable[..., PhantomCase]

POPULATION = draw_population(16, seed=42, mix=BALANCED, images_per_patient=2)


def fovea_of(case: PhantomCase, height: int = 384, width: int = 480) -> np.ndarray:
    """(x, y) pixels of the foveal centre, by inverting the map from picture to sheet."""
    px = 0.47 * min(height, width / 1.25)
    back = cv2.invertAffineTransform(gaze(case, place_window(case, height, width), px))
    on_sheet = np.array([HALF_WIDTH, HALF_HEIGHT]) * px - 0.5
    return back[:, :2] @ on_sheet + back[:, 2]


@pytest.mark.parametrize("case", POPULATION, ids=lambda case: case.stem)
def test_truth_is_consistent(case: PhantomCase) -> None:
    phantom = render(case)
    assert phantom.image.shape == (384, 480, 3)
    assert phantom.image.dtype == np.uint8
    x0, y0, x1, y1 = phantom.box
    rows, columns = np.nonzero(phantom.aperture)
    assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert phantom.box == place_window(case, 384, 480).box()
    for name, mask in phantom.lesions.items():
        assert mask.dtype == bool
        assert not (mask & ~phantom.aperture).any(), name
    for name in {*case.labels, *case.peripheral} & set(LESIONS):
        assert name in phantom.lesions
    for name in set(case.labels) & {"TFO", "DCA", "PCA", "MA", "PS"}:
        assert phantom.lesions[name].sum() > 20, name
    assert not {"NoPS", "NoMRL", *CONFUSERS} & set(phantom.lesions)


@pytest.mark.parametrize("case", POPULATION, ids=lambda case: case.stem)
def test_two_lasers_colour_the_picture(case: PhantomCase) -> None:
    phantom = render(case)
    red, green, blue = phantom.image[phantom.aperture].astype(float).T
    assert blue.max() <= 10
    assert 20 < red.mean() < 200
    assert 20 < green.mean() < 200
    assert 0.45 < red.mean() / green.mean() < 2.6
    if case.border == "black":
        away = cv2.erode((~phantom.aperture).astype(np.uint8), np.ones((9, 9))) > 0
        assert phantom.image[away].mean() < 6


@pytest.mark.parametrize("case", POPULATION, ids=lambda case: case.stem)
def test_the_window_is_convex_up_to_its_pixels(case: PhantomCase) -> None:
    aperture = render(case).aperture
    contours, _ = cv2.findContours(
        aperture.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    assert len(contours) == 1
    hull = cv2.convexHull(contours[0])
    assert cv2.contourArea(contours[0]) > 0.985 * cv2.contourArea(hull)


def test_the_same_case_gives_the_same_bytes_in_another_process(make: Make) -> None:
    case = make(("PS", "PCA"), 0.7, peripheral=PERIPHERAL_SIGNS, confusers=("reflex",))
    digest = "import hashlib; print(hashlib.sha256(render(case).image.tobytes()).hexdigest())"
    code = f"from realmnet_benchmarks.phantoms import *\ncase = {case!r}\n{digest}\n"
    answers = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
        for _ in range(2)
    }
    assert len(answers) == 1


def test_the_cache_changes_nothing(make: Make) -> None:
    first, second = make(image=0), make(image=1)
    cold = [render(first).image, render(second).image]
    eye_sheet(make(("PS", "MA"), 0.3, seed=99), 180.0)
    warm = [render(second).image, render(first).image]
    assert np.array_equal(cold[0], warm[1])
    assert np.array_equal(cold[1], warm[0])
    assert not np.array_equal(cold[0], cold[1])


@pytest.mark.parametrize("severity", [0.05, 0.3, 0.65, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_patches_keep_off_the_fovea_and_macular_atrophy_is_on_it(
    make: Make, seed: int, severity: float
) -> None:
    for labels, on in ((("NoPS", "PCA"), False), (("PS", "MA"), True)):
        case = make(labels, severity, seed=seed, eye="OS" if seed % 2 else "OD")
        mask = render(case).lesions[labels[1]]
        x, y = np.round(fovea_of(case)).astype(int)
        unit = place_window(case, 384, 480).half_height
        rows, columns = np.nonzero(mask)
        distance = np.hypot(columns - x, rows - y) / unit
        if on:
            assert mask[y, x]
            assert np.hypot(columns.mean() - x, rows.mean() - y) / unit < 0.05
        else:
            assert distance.min() > 0.07


def test_pictures_of_one_eye_share_their_anatomy(make: Make) -> None:
    """Undoing the gaze of two pictures brings the same sheet to light; another eye's differs."""
    cases = [make(border="black", image=k) for k in range(2)] + [make(border="black", seed=4)]
    upright = []
    for case in cases:
        back = cv2.invertAffineTransform(gaze(case, place_window(case, 384, 480), 180.48))
        green = render(case).image[..., 1].astype(np.float32)
        flat = cv2.warpAffine(
            green, back, (585, 448), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        middle = flat[134:314, 202:382]
        upright.append((middle - cv2.GaussianBlur(middle, (0, 0), 12)).ravel())
    same = np.corrcoef(upright[0], upright[1])[0, 1]
    other = np.corrcoef(upright[0], upright[2])[0, 1]
    assert same > 0.6
    assert abs(other) < 0.4


def test_fellow_eyes_are_mirrored_relatives(make: Make) -> None:
    """The disc lies on the nasal side: right of the fovea in a right eye, left in a left one."""
    for eye, side in (("OD", 1), ("OS", -1)):
        case = make(("NoPS", "NoMRL"), 0.2, eye=eye, border="black")
        image = render(case).image
        light = cv2.GaussianBlur(image[..., :2].astype(np.float32).mean(2), (0, 0), 4)
        light[~render(case).aperture] = 0
        x, y = fovea_of(case)
        unit = place_window(case, 384, 480).half_height
        disc = light[int(y) - 8 : int(y) + 9, int(x + side * 0.3 * unit) - 8 :][:, :17].mean()
        opposite = light[int(y) - 8 : int(y) + 9, int(x - side * 0.3 * unit) - 8 :][:, :17].mean()
        assert disc > 1.1 * opposite


@pytest.mark.parametrize(
    "labels", [("NoPS", "TFO"), ("NoPS", "DCA"), ("NoPS", "PCA"), ("PS", "MA")]
)
def test_a_more_severe_sign_shows_more(make: Make, labels: tuple[str, str]) -> None:
    """The sheet moves away from that of the mildest case as severity rises."""
    mild = paint_eye(make(labels, 0.05), 120.0).planes.astype(float)
    change = [
        np.abs(paint_eye(make(labels, severity), 120.0).planes - mild).sum()
        for severity in (0.2, 0.5, 1.0)
    ]
    assert 0 < change[0] < change[1] < change[2]


def test_tessellation_of_the_two_lowest_grades_overlaps(make: Make) -> None:
    none = [tessellation(make(("NoPS", "NoMRL"), s)) for s in (0.05, 1.0)]
    some = [tessellation(make(("NoPS", "TFO"), s)) for s in (0.05, 1.0)]
    assert none[0] < some[0] < none[1] < some[1] <= 1.0


@pytest.mark.parametrize(("height", "width"), [(120, 150), (384, 480), (768, 960), (600, 1000)])
def test_any_size_shows_the_same_eye(make: Make, height: int, width: int) -> None:
    case = make(("PS", "PCA"), 0.8, border="black")
    reference, phantom = render(case, 384, 480), render(case, height, width)
    assert phantom.image.shape == (height, width, 3)
    if height * 480 == width * 384:
        small = cv2.resize(phantom.image, (480, 384), interpolation=cv2.INTER_AREA)
        a, b = (i[..., :2].astype(float).mean(2).ravel() for i in (small, reference.image))
        assert np.corrcoef(a, b)[0, 1] > 0.97
        scaled = np.array(phantom.box) * (384 / height)
        assert np.abs(scaled - reference.box).max() <= 0.51 * max(1, 384 / height) + 0.51


@pytest.mark.parametrize("size", [(95, 480), (384, 9_000)])
def test_an_impossible_size_is_refused(make: Make, size: tuple[int, int]) -> None:
    with pytest.raises(ConfigurationError, match=r"96\.\.8192"):
        render(make(), *size)


@pytest.mark.parametrize("place", HOSPITALS, ids=lambda place: place.name)
@pytest.mark.parametrize("border", ["black", "device"])
def test_every_hospital_and_border_renders_every_extra(
    make: Make, place: Hospital, border: str
) -> None:
    case = make(
        ("PS", "DCA"),
        0.9,
        hospital=place,
        border=border,
        peripheral=PERIPHERAL_SIGNS,
        confusers=tuple(name for name in CONFUSERS if name != "arc_shadow"),
    )
    phantom = render(case)
    assert set(phantom.lesions) == {"PS", "DCA", *PERIPHERAL_SIGNS}


def test_hospitals_look_different(make: Make) -> None:
    """Mean colour or sharpness of each hospital differs from that of every other."""
    looks = []
    for place in HOSPITALS:
        rows = []
        for seed in range(6):
            phantom = render(make(seed=seed, hospital=place, border="black"))
            red, green, _ = phantom.image[phantom.aperture].astype(float).mean(0)
            edges = cv2.Laplacian(phantom.image[..., 1].astype(np.float32), cv2.CV_32F)
            rows.append((np.log(red / green), np.log(edges[phantom.aperture].std())))
        looks.append(np.mean(rows, 0))
    for k, look in enumerate(looks):
        for other in looks[k + 1 :]:
            assert np.abs(look - other).max() > 0.05
