"""What is drawn over a picture, and what is left alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.drawing.lettering import Line, text_strip
from realmnet_runtime.drawing.overlay import BACKGROUND
from realmnet_runtime.pictures.frame import Frame
from realmnet_runtime.pictures.preprocess import PreprocessSpec, place_crop
from realmnet_training.explanation.contact_sheet import Tile, draw_sheet
from realmnet_training.explanation.explain import Opened
from realmnet_training.explanation.findings import OUTCOMES
from realmnet_training.explanation.heatmap import draw_finding, draw_thumbnail


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
