"""Synthetic phantoms of both border kinds, whose aperture is known to the pixel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from realmnet_runtime.aperture.field_of_view import find_field_of_view

phantoms = pytest.importorskip(
    "realmnet_benchmarks.phantoms", reason="the toolkit, which draws phantoms, is not installed"
)
Measure = Callable[..., Any]


def judged(cases: Iterable[Any], measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    """Mask IoU, and how far the box moves when the picture is cut to it, of each case."""
    overlap, moved = [], []
    for case in cases:
        drawn = phantoms.render(case)
        field = find_field_of_view(drawn.image)
        overlap.append(measure(field, drawn.aperture, drawn.box).mask_iou)
        x0, y0, x1, y1 = field.box
        again = find_field_of_view(drawn.image[y0:y1, x0:x1])
        whole = (0, 0, x1 - x0, y1 - y0)
        moved.append(measure(again, again.mask, whole).furthest_side)
    return np.array(overlap), np.array(moved)


@pytest.mark.parametrize("border", ["black", "device"])
def test_a_few_dozen(border: str, measure: Measure) -> None:
    cases = phantoms.draw_population(40, seed=11, images_per_patient=2)
    chosen = [case for case in cases if case.border == border][:24]
    assert len(chosen) == 24
    overlap, moved = judged(chosen, measure)
    assert overlap.mean() >= 0.95
    assert overlap.min() >= 0.90
    assert moved.max() <= 0.01


@pytest.mark.slow
def test_a_thousand(measure: Measure) -> None:
    cases = phantoms.draw_population(500, seed=2025, images_per_patient=2)
    assert {case.border for case in cases} == {"black", "device"}
    overlap, moved = judged(cases, measure)
    assert overlap.size == 1_000
    assert overlap.mean() >= 0.95
    assert overlap.min() >= 0.90
    assert moved.max() <= 0.01


@pytest.mark.parametrize(("height", "width"), [(768, 975), (480, 384), (200, 250)])
def test_other_sizes_and_aspects(height: int, width: int, measure: Measure) -> None:
    for case in phantoms.draw_population(6, seed=5, images_per_patient=2):
        drawn = phantoms.render(case, height, width)
        found = measure(find_field_of_view(drawn.image), drawn.aperture, drawn.box)
        assert found.mask_iou >= 0.90
