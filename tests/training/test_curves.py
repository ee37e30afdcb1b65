"""Curves of a run: what is drawn is what the metrics say."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from realmnet_training.fitting.curves import draw_curves


def line(epoch: int, stage: int = 1, loss: float | None = 0.5, **change: Any) -> dict[str, Any]:  # noqa: ANN401
    development = {"ap_macro": 0.4, "auroc_macro": 0.7, "f1_macro": None}
    given = {"epoch": epoch, "stage": stage, "image": 64, "loss": loss, "lr": 1e-3}
    return {**given, "development": development, **change}


def test_equal_lines_give_equal_bytes_of_a_readable_picture() -> None:
    lines = [line(1), line(2, loss=0.4), line(3, stage=2)]
    drawn = draw_curves(lines, "smoke")
    assert drawn == draw_curves(lines, "smoke")
    decoded = cv2.imdecode(np.frombuffer(drawn, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert decoded.shape == (400, 1200, 3)
    assert decoded.std() > 5


def test_every_number_that_is_drawn_moves_the_picture() -> None:
    lines = [line(1), line(2), line(3)]
    drawn = draw_curves(lines, "smoke")
    development = {"ap_macro": 0.4, "auroc_macro": 0.6, "f1_macro": 0.2}
    for change in (
        line(3, loss=0.7),
        line(3, lr=5e-4),
        line(3, development=development),
        line(3, stage=2),
    ):
        assert draw_curves([*lines[:2], change], "smoke") != drawn
    assert draw_curves(lines, "another") != drawn


def test_a_run_without_development_or_with_a_gap_is_drawn_all_the_same() -> None:
    assert draw_curves([line(1, development=None), line(2, loss=None, development=None)], "x")
