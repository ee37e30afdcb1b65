"""Time of de-bordering a quarter-scale decode of a camera's picture on one thread."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from realmnet_benchmarks.phantoms import draw_population, render
from realmnet_runtime.aperture.field_of_view import find_field_of_view

QUARTER_OF_3900_BY_3072 = (768, 975)
CASES = draw_population(40, seed=3, images_per_patient=1)


@pytest.mark.parametrize("border", ["black", "device"])
def test_one_picture(benchmark: BenchmarkFixture, border: str) -> None:
    case = next(case for case in CASES if case.border == border)
    drawn = render(case, *QUARTER_OF_3900_BY_3072)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        found = benchmark(find_field_of_view, drawn.image)
    finally:
        cv2.setNumThreads(threads)
    overlap = np.count_nonzero(found.mask & drawn.aperture)
    assert overlap >= 0.95 * np.count_nonzero(found.mask | drawn.aperture)
