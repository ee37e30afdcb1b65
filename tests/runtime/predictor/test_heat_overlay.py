"""What is drawn over a picture, and what is left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime import FieldOfView, Prediction, Predictor, UsageError
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.drawing.heat_overlay import FULL_EVIDENCE, draw_heat, draw_heat_map
from realmnet_runtime.drawing.overlay import BACKGROUND, FOUND, QUIET
from realmnet_runtime.signatures.trust import ANY_BUNDLE

needs_engine = pytest.mark.skipif(not installed_engines(), reason="no engine installed")


@pytest.fixture(scope="module")
def answered(tiny_bundle: Path, eye: NDArray[np.uint8]) -> Prediction:
    with Predictor.open(tiny_bundle, threads=1, trust=ANY_BUNDLE) as predictor:
        return predictor.predict(eye)


def of_evidence(answered: Prediction, value: float) -> Prediction:
    """The answer, with the same evidence everywhere."""
    return replace(answered, score_maps=np.full_like(answered.score_maps, value))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_pixels_without_evidence_are_the_cameras_own(seed: int) -> None:
    random = np.random.default_rng(seed)
    picture = random.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    heat = np.zeros((60, 80), np.float32)
    heat[20:40, 30:50] = random.random((20, 20)) * 0.49
    before = picture.copy()
    drawn = draw_heat(picture, heat)
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(drawn[heat == 0.0], picture[heat == 0.0])
    assert (drawn[20:40, 30:50] != picture[20:40, 30:50]).any()


def test_more_evidence_is_lighter_and_bluer_over_any_fundus() -> None:
    picture = np.full((1, 256, 3), (150, 90, 5), np.uint8)
    heat = np.linspace(0.0, 0.499, 256, dtype=np.float32)[None]
    blue = draw_heat(picture, heat)[0, :, 2].astype(int)
    assert (np.diff(blue) >= 0).all()
    assert blue[-1] - blue[0] > 50
    with pytest.raises(UsageError, match="heat of"):
        draw_heat(picture, heat[:, :-1])


def test_a_line_surrounds_what_exceeds_half() -> None:
    picture, heat = np.full((100, 100, 3), 90, np.uint8), np.zeros((100, 100), np.float32)
    heat[40:60, 30:70] = 0.9
    white = np.asarray((draw_heat(picture, heat) > 220).all(axis=2))
    rows, columns = np.nonzero(white)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 59, 30, 69)
    assert not white[45:55, 35:65].any()


def ring(answered: Prediction, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels in which the aperture's outline may be drawn."""
    mask = answered.aperture.scaled_to(*size).mask.astype(np.uint8)
    edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8))
    return np.asarray(edge).astype(bool)


@needs_engine
def test_only_positive_evidence_and_the_outline_are_drawn(
    answered: Prediction, eye: NDArray[np.uint8]
) -> None:
    before = eye.copy()
    against = draw_heat_map(eye, of_evidence(answered, -3.0), "PS")
    np.testing.assert_array_equal(eye, before)
    plain = np.asarray(cv2.resize(eye, (1280, 960), interpolation=cv2.INTER_CUBIC))
    changed = (against[:960] != plain).any(axis=2)
    edge = ring(answered, (960, 1280))
    assert changed.any()
    assert not (changed & ~edge).any()
    drawn = draw_heat_map(eye, of_evidence(answered, 3.0), "PS")
    changed = (drawn[:960] != plain).any(axis=2)
    mask = answered.aperture.scaled_to(960, 1280).mask
    assert changed[mask].all()
    assert not changed[~mask & ~edge].any()


@needs_engine
def test_the_scale_is_fixed(answered: Prediction, eye: NDArray[np.uint8]) -> None:
    """More evidence is bluer, whatever the rest of the map holds, up to the scale's end."""
    centre = np.s_[480, 660]
    blue = [
        int(draw_heat_map(eye, of_evidence(answered, value), "PS")[centre][2])
        for value in (0.0, 0.5, 1.0, 2.0, 4.0, FULL_EVIDENCE, 2 * FULL_EVIDENCE)
    ]
    assert blue[0] <= 8
    assert blue[1] >= blue[0] + 30
    assert all(np.diff(blue[:-1]) > 0)
    assert blue[-1] == blue[-2]
    peaked = of_evidence(answered, 1.0)
    peaked.score_maps[:, 0, 0] = 50.0
    np.testing.assert_array_equal(
        draw_heat_map(eye, peaked, "PS")[centre],
        draw_heat_map(eye, of_evidence(answered, 1.0), "PS")[centre],
    )


@needs_engine
def test_the_strip_tells_a_finding_from_what_was_not_found(
    answered: Prediction, eye: NDArray[np.uint8]
) -> None:
    def colours(picture: NDArray[np.uint8]) -> tuple[bool, bool]:
        title = picture[960:1000]
        return tuple((title == colour).all(axis=2).any() for colour in (FOUND, QUIET))

    found = replace(answered, findings=("PS",))
    assert colours(draw_heat_map(eye, found, "PS")) == (True, False)
    assert colours(draw_heat_map(eye, replace(answered, findings=()), "PS")) == (False, True)
    with_evidence = draw_heat_map(eye, of_evidence(found, 1.0), "PS")
    without = draw_heat_map(eye, of_evidence(found, -1.0), "PS")
    # one more line: that there is nothing to draw
    assert without.shape[0] > with_evidence.shape[0]
    named = draw_heat_map(eye, found, "PS", meaning="posterior staphyloma " * 8)
    assert named.shape[0] > draw_heat_map(eye, found, "PS").shape[0]


@needs_engine
def test_a_longer_side_is_cut_down(answered: Prediction, eye: NDArray[np.uint8]) -> None:
    small = draw_heat_map(eye, of_evidence(answered, -1.0), "PS", longest=320)
    assert small.shape[1] == 320
    plain = np.asarray(cv2.resize(eye, (320, 240), interpolation=cv2.INTER_AREA))
    edge = ring(answered, (240, 320))
    assert not ((small[:240] != plain).any(axis=2) & ~edge).any()
    assert draw_heat_map(eye, answered, "PS", longest=640).shape[1] == 1280


@needs_engine
def test_another_picture_or_label_is_refused(answered: Prediction, eye: NDArray[np.uint8]) -> None:
    with pytest.raises(UsageError, match="the picture that was answered"):
        draw_heat_map(eye[:-1], answered, "PS")
    with pytest.raises(UsageError, match="no label 'P'"):
        draw_heat_map(eye, answered, "P")
    with pytest.raises(UsageError, match="256 or more"):
        draw_heat_map(eye, answered, "PS", longest=255)


@needs_engine
@pytest.mark.parametrize("size", [(700, 32), (32, 700)])
def test_a_narrow_picture_is_drawn_too(answered: Prediction, size: tuple[int, int]) -> None:
    height, width = size
    whole = FieldOfView((0, 0, width, height), np.ones(size, np.bool_))
    placement = replace(answered.placement, original_size=size, box=whole.box)
    narrow = replace(
        answered,
        original_size=size,
        box=whole.box,
        aperture=whole,
        placement=placement,
        findings=("PS",),
    )
    for longest in (None, 256):
        drawn = draw_heat_map(np.zeros((*size, 3), np.uint8), narrow, "PS", longest=longest)
        scale = 256 / 700 if longest else (1 if height == 700 else 20)
        drawn_width = round(width * scale)
        assert drawn.shape[1] == max(256, drawn_width)
        assert (drawn[: round(height * scale), drawn_width:] == BACKGROUND).all()
