"""The annotated picture: what it leaves untouched, and what it marks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Predictor, UsageError
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.drawing.overlay import draw_overlay, encode_png
from realmnet_runtime.signatures.trust import ANY_BUNDLE

pytestmark = pytest.mark.skipif(not installed_engines(), reason="no engine installed")


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
def test_only_the_outline_and_the_box_are_drawn_on_the_retina(
    tiny_bundle: Path, eye: NDArray[np.uint8], scale: float
) -> None:
    picture = np.asarray(cv2.resize(eye, None, fx=scale, fy=scale), np.uint8)
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(picture)
    before = picture.copy()
    drawn = draw_overlay(picture, prediction)
    np.testing.assert_array_equal(picture, before)
    factor = drawn.shape[0] // picture.shape[0]
    assert drawn.shape[0] == factor * picture.shape[0] >= 640
    size = (picture.shape[1] * factor, picture.shape[0] * factor)
    left = drawn[:, : size[0]]
    plain = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC))
    changed = (left != plain).any(axis=2)
    mask = cv2.resize(
        prediction.field_of_view.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST
    )
    edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((15, 15), np.uint8)) > 0
    x0, y0, x1, y1 = (side * factor for side in prediction.box)
    frame = np.zeros(changed.shape, np.uint8)
    cv2.rectangle(frame, (x0, y0), (x1 - 1, y1 - 1), 1, 9)
    assert changed.any()
    assert not (changed & ~edge & ~frame.astype(bool)).any()
    # The inside of the aperture, where a reader looks, is the camera's own.
    inside = cv2.erode(mask, np.ones((25, 25), np.uint8)).astype(bool)
    assert not changed[inside].any()


def test_the_panel_marks_each_probability(tiny_bundle: Path, eye: NDArray[np.uint8]) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(eye)
    panel = draw_overlay(eye, prediction)[:, 2 * eye.shape[1] :]
    found = (panel == (255, 179, 71)).all(axis=2)
    quiet = (panel == (142, 150, 162)).all(axis=2)
    # A bar is the longest run of one colour in its row: its share of the width is the probability.
    unit = panel.shape[0] / 50
    for row, (name, probability) in enumerate(prediction.probabilities.items()):
        y = round((7.8 + 2.9 * row + 0.8) * unit)
        colour = found if name in prediction.findings else quiet
        filled = int(colour[y].sum()) / (19 * unit)
        assert filled == pytest.approx(probability, abs=0.02), name


def test_the_png_is_lossless(eye: NDArray[np.uint8]) -> None:
    decoded = cv2.imdecode(np.frombuffer(encode_png(eye), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decoded[:, :, ::-1], eye)


def test_another_picture_is_refused(tiny_bundle: Path, eye: NDArray[np.uint8]) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(eye)
    with pytest.raises(UsageError, match="the picture that was answered"):
        draw_overlay(eye[:-1], prediction)
