"""What is drawn over a picture, and what is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime.errors import UsageError
from realmnet_runtime.overlay import BACKGROUND
from realmnet_runtime.preprocess import PreprocessSpec, place_crop
from realmnet_training.explanation.contact_sheet import Tile, draw_sheet
from realmnet_training.explanation.explain import Frame, Opened
from realmnet_training.explanation.findings import OUTCOMES
from realmnet_training.explanation.heatmap import draw_finding, draw_heat, draw_thumbnail
from realmnet_training.explanation.lettering import Line, text_strip


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 200, (height, width, 3), dtype=np.uint8)


def opened(height: int, width: int, box: tuple[int, int, int, int]) -> Opened:
    x0, y0, x1, y1 = box
    placement = place_crop(y1 - y0, x1 - x0, PreprocessSpec(size=64))
    return Opened(
        original=noise(height, width),
        square=np.zeros((64, 64, 3), np.uint8),
        frame=Frame((height, width), box, placement, 64),
    )


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
    white = (draw_heat(picture, heat) > 220).all(axis=2)
    rows, columns = np.nonzero(white)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 59, 30, 69)
    assert not white[45:55, 35:65].any()


def test_a_finding_is_the_whole_original_with_its_text_below() -> None:
    picture = opened(200, 300, (50, 20, 250, 180))
    cells = np.zeros((4, 4), np.float32)
    cells[0, 0] = 2.0
    drawn = draw_finding(picture, cells, [Line("one"), Line("two")])
    factor = 4
    assert drawn.shape[1] == 300 * factor
    assert drawn.shape[0] > 200 * factor
    assert (drawn[-1] == BACKGROUND).all()
    flat = draw_finding(picture, np.ones((4, 4), np.float32), [Line("one"), Line("two")])
    changed = (drawn[: 200 * factor] != flat[: 200 * factor]).any(axis=2)
    rows, columns = np.nonzero(changed)
    # the first of four cells reaches to the centre of the second
    assert rows.min() >= 20 * factor - 3
    assert rows.max() <= (20 + 160 * 1.5 / 4) * factor + 3
    assert columns.max() <= (50 + 200 * 1.5 / 4) * factor + 3


def test_a_thumbnail_is_the_crop_in_its_own_aspect() -> None:
    picture = opened(200, 300, (0, 0, 300, 150))
    plain = draw_thumbnail(picture, None, 90)
    assert plain.shape == (90, 90, 3)
    lit = np.flatnonzero(plain.any(axis=(1, 2)))
    assert (lit.min(), lit.max()) == (22, 66)
    heated = draw_thumbnail(picture, np.eye(4, dtype=np.float32), 90)
    assert (heated != plain).any()
    assert not heated[:22].any()


def test_text_is_wrapped_into_its_width() -> None:
    short = text_strip([Line("word")], 300, 10.0)
    long = text_strip([Line("word " * 60)], 300, 10.0)
    assert long.shape[0] > 4 * short.shape[0]
    assert short.shape[1] == long.shape[1] == 300
    assert (long[:, -5:] == BACKGROUND).all()


def test_a_sheet_holds_every_tile_once_in_order() -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    tiles = [
        Tile([np.full((220, 220, 3), colour, np.uint8)] * 3, [f"test line {n}"])
        for n, colour in enumerate(colours)
    ]
    page = draw_sheet(
        "PS",
        ["Research use only"],
        {"true positive": tiles[:3], "false positive": [], "false negative": tiles[3:]},
        {"true positive": 9, "false positive": 0, "false negative": 1},
    )
    tops = []
    for colour in colours:
        rows, columns = np.nonzero((page == colour).all(axis=2))
        assert len(rows) == 3 * 220 * 220
        tops.append((int(rows.min()), int(columns.min())))
    assert tops == sorted(tops)
    # two tiles of three panels fit beside one another
    assert tops[0][0] == tops[1][0] < tops[2][0] < tops[3][0]
    empty = draw_sheet("PS", [], dict.fromkeys(OUTCOMES, ()), dict.fromkeys(OUTCOMES, 0))
    assert empty.shape[1] == page.shape[1]
