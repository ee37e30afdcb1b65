"""Heat maps of an answer: where they peak, what they leave at 0, and that no engine makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import (
    PSMM,
    FieldOfView,
    IncompatibleError,
    Prediction,
    Predictor,
    UsageError,
)
from realmnet_runtime.answering.explain import HEAT_MAP_SIDE, bounded_size, heat_map
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.pictures.frame import Frame
from realmnet_runtime.pictures.preprocess import Placement
from realmnet_runtime.signatures.trust import ANY_BUNDLE

pytestmark = pytest.mark.skipif(not installed_engines(), reason="no engine installed")


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Predictor:
    return Predictor.open(tiny_bundle, threads=1, trust=ANY_BUNDLE)


@pytest.fixture(scope="module")
def answered(predictor: Predictor, eye: NDArray[np.uint8]) -> Prediction:
    return predictor.predict(eye)


def jpeg(image: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert done
    return data.tobytes()


def test_there_is_one_for_each_finding_in_label_order(answered: Prediction) -> None:
    found = replace(answered, findings=("PS", "MA"))
    maps = found.heat_maps()
    assert list(maps) == ["PS", "MA"]
    for name, heat in maps.items():
        assert heat.shape == found.original_size
        assert heat.dtype == np.float32
        np.testing.assert_array_equal(heat, found.heat_map(name))
    assert replace(answered, findings=()).heat_maps() == {}
    assert list(answered.heat_maps(["TFO"], size=(30, 40))) == ["TFO"]


def test_no_engine_is_needed_once_the_answer_is_there(
    tiny_bundle: Path, eye: NDArray[np.uint8]
) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(eye)
    before = prediction.score_maps.copy()
    assert set(prediction.heat_maps(PSMM.names)) == set(PSMM.names)
    np.testing.assert_array_equal(prediction.score_maps, before)


@pytest.mark.parametrize("size", [None, (480, 640), (111, 97), (960, 1280)])
def test_evidence_is_the_engines_own_and_nothing_lies_outside_the_aperture(
    answered: Prediction, size: tuple[int, int] | None
) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    height, width = size or answered.original_size
    heat = answered.heat_map("DCA", size=size)
    mask = answered.aperture.scaled_to(height, width).mask
    assert not heat[~mask].any()
    x0, y0, x1, y1 = answered.box
    y, x = np.mgrid[:height, :width] + 0.5
    # 64 pixels to a side, stretched, by 16 cells: the size of the square cancels out
    row = (y * 480 / height - y0) / (y1 - y0) * 16 - 0.5
    column = (x * 640 / width - x0) / (x1 - x0) * 16 - 0.5
    cells = answered.score_maps[PSMM.index("DCA")].astype(np.float64)
    expected = ndimage.map_coordinates(cells, [row, column], order=1, mode="nearest")
    sure = np.asarray(cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8))).astype(bool)
    np.testing.assert_allclose(heat[sure], expected[sure], atol=1e-4)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("place", [(150, 260), (245, 330), (330, 430)])
@pytest.mark.parametrize("encode", [jpeg, None], ids=["scaled-decode", "array"])
def test_what_changes_in_the_picture_changes_its_map_there(
    predictor: Predictor,
    eye: NDArray[np.uint8],
    scale: int,
    place: tuple[int, int],
    encode: Callable[[NDArray[np.uint8]], bytes] | None,
) -> None:
    """A bright spot, through decoding, crop, resize and three convolutions, and back."""
    plain = np.asarray(cv2.resize(eye, None, fx=scale, fy=scale), np.uint8)
    marked = plain.copy()
    row, column = (side * scale for side in place)
    cv2.circle(marked, (column, row), 12 * scale, (255, 255, 6), -1)
    answers = [predictor.predict(encode(p) if encode else p) for p in (plain, marked)]
    size = answers[1].original_size
    assert size == plain.shape[:2]
    if encode:
        assert answers[1].aperture.mask.shape == (240, 320)
    change = np.zeros(size, np.float64)
    for name in PSMM.names:
        before, after = (answer.heat_map(name, size=size) for answer in answers)
        change += np.abs(after - before)
    change[change < 0.5 * change.max()] = 0.0
    rows, columns = np.mgrid[: size[0], : size[1]]
    x0, y0, x1, y1 = answers[1].box
    # a convolution of stride 2 looks half a pixel up and left of its cell, so two of them a third
    reach = (1.5 * (y1 - y0) / 16, 1.5 * (x1 - x0) / 16)
    assert abs((rows * change).sum() / change.sum() - row) <= reach[0]
    assert abs((columns * change).sum() / change.sum() - column) <= reach[1]


def test_a_large_picture_is_answered_small_where_no_size_is_asked_for(
    answered: Prediction,
) -> None:
    assert bounded_size((3072, 3900)) == (807, HEAT_MAP_SIDE)
    assert bounded_size((3900, 3072)) == (HEAT_MAP_SIDE, 807)
    assert bounded_size((480, 640)) == (480, 640)
    assert bounded_size((1, 100_000)) == (1, HEAT_MAP_SIDE)
    large = replace(
        answered,
        original_size=(3072, 3900),
        placement=replace(answered.placement, original_size=(3072, 3900)),
    )
    assert large.heat_map("PS").shape == (807, HEAT_MAP_SIDE)


def test_an_aperture_within_the_crop_bounds_the_map() -> None:
    mask = np.zeros((40, 60), np.bool_)
    mask[10:20, 15:30] = True
    frame = Frame((40, 60), (5, 5, 50, 35), Placement(0, 0, 32, 32), 32)
    heat = heat_map(np.full((4, 4), -2.5, np.float32), frame, mask)
    np.testing.assert_allclose(heat[mask], -2.5, rtol=1e-6)
    assert not heat[~mask].any()


def test_what_cannot_be_asked_for_is_refused_in_one_line(answered: Prediction) -> None:
    with pytest.raises(UsageError, match=r"no label 'DAC'; the model has .*; did you mean 'DCA'"):
        answered.heat_map("DAC")
    with pytest.raises(UsageError, match="sides of 1 or more"):
        answered.heat_map("DCA", size=(0, 10))
    scores = answered.score_maps.copy()
    scores[PSMM.index("DCA"), 0, 0] = np.nan
    broken = replace(answered, score_maps=scores)
    with pytest.raises(IncompatibleError, match="not finite"):
        broken.heat_map("DCA")
    assert np.isfinite(broken.heat_map("PS")).all()


def test_a_sliver_of_an_aperture_is_still_a_map(answered: Prediction) -> None:
    mask = np.zeros((480, 640), np.bool_)
    mask[200, 300] = True
    thin = replace(
        answered,
        aperture=FieldOfView((300, 200, 301, 201), mask),
        box=(300, 200, 301, 201),
        placement=replace(answered.placement, box=(300, 200, 301, 201)),
    )
    assert np.isfinite(thin.heat_map("PS", size=(7, 9))).all()
    assert np.count_nonzero(thin.heat_map("PS")) <= 1
