"""Time of rendering a synthetic eye, first and further pictures, small and at a camera's size."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from realmnet_benchmarks.phantoms import BALANCED, PhantomCase, draw_population, render
from realmnet_benchmarks.phantoms.render import MAXIMUM_BLUE, Phantom

CASES = draw_population(160, seed=1, mix=BALANCED, images_per_patient=4)


def of_a_retina(phantom: Phantom) -> bool:
    inside = phantom.image[phantom.aperture]
    return bool(inside[:, 2].max() <= MAXIMUM_BLUE < inside[:, 0].mean())


@pytest.mark.parametrize(("height", "width"), [(384, 480), (3_072, 3_900)])
def test_pictures_of_a_population(benchmark: BenchmarkFixture, height: int, width: int) -> None:
    """As a data set is written: pictures of one eye follow each other and share its anatomy."""
    cases = itertools.cycle(CASES)
    small = height < 1_000

    def following() -> tuple[tuple[PhantomCase, int, int], dict[str, object]]:
        return (next(cases), height, width), {}

    found = benchmark.pedantic(  # type: ignore[no-untyped-call]
        render, setup=following, rounds=80 if small else 3, warmup_rounds=4 if small else 0
    )
    assert found.image.shape == (height, width, 3)
    assert of_a_retina(found)
    np.testing.assert_array_equal(found.image, render(found.case, height, width).image)
