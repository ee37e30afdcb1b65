"""The distance of score maps against scikit-learn, and its table's laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.quality.limits import ScoreMapTable
from realmnet_runtime.quality.map_distance import (
    LEAST_PICTURES,
    fit_table,
    map_distance,
    score_map_statistics,
    shrunk_covariance,
)
from realmnet_runtime.quality.verdict import judge_distance


def pictures(count: int, seed: int = 0, size: int = 6) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed)
    return random.normal(size=(count, size)) @ random.normal(size=(size, size)) + np.arange(size)


def test_statistics_are_the_means_of_ninths_label_by_label() -> None:
    maps = np.random.default_rng(2).normal(size=(2, 6, 12)).astype(np.float32)
    found = score_map_statistics(maps)
    ninths = maps.astype(float).reshape(2, 3, 2, 3, 4).mean(axis=(2, 4))
    assert found == pytest.approx(ninths.ravel())


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (7, 7)])
def test_any_map_is_covered_whole(shape: tuple[int, int]) -> None:
    for cell in np.ndindex(*shape):
        maps = np.zeros((1, *shape), np.float32)
        maps[0][cell] = 1
        assert score_map_statistics(maps).shape == (9,)
        assert score_map_statistics(maps).sum() > 0


@pytest.mark.parametrize("count", [8, 60, 400])
def test_shrinkage_is_that_of_scikit_learn(count: int) -> None:
    ledoit_wolf = pytest.importorskip("sklearn.covariance").ledoit_wolf
    values = pictures(count, seed=count)
    expected, _ = ledoit_wolf(values)
    np.testing.assert_allclose(shrunk_covariance(values), expected, rtol=1e-9)


def test_distance_is_mahalanobis_over_the_root_of_the_size() -> None:
    distance = pytest.importorskip("scipy.spatial.distance").mahalanobis
    values = pictures(300)
    table = fit_table("v", values)
    scaled = (values - np.array(table.centre)) / np.array(table.spread)
    expected = [distance(row, np.zeros(6), whole(table)) / np.sqrt(6) for row in scaled]
    assert [map_distance(table, row) for row in values] == pytest.approx(expected, rel=1e-5)


def whole(table: ScoreMapTable) -> np.ndarray[Any, Any]:
    size = len(table.centre)
    matrix = np.array([[*row, *[0.0] * (size - len(row))] for row in table.precision])
    return matrix + matrix.T - np.diag(matrix.diagonal())


def test_familiar_pictures_are_near_and_strange_ones_far() -> None:
    values = pictures(600)
    table = fit_table("v", values[:300])
    near = [map_distance(table, row) for row in values[300:]]
    assert np.sqrt(np.mean(np.square(near))) == pytest.approx(1, abs=0.25)
    # Of 300 new pictures one or two lie beyond the 99.5 % quantile of 300 others.
    assert sum(d > table.most_distance for d in near) <= 8
    assert judge_distance(table.most_distance, table) == ()
    (reason,) = judge_distance(map_distance(table, values[0] + 40), table)
    assert reason.kind == "far_from_training"
    assert reason.allowed == table.most_distance


def test_units_of_a_statistic_do_not_matter() -> None:
    values = pictures(200)
    units = np.array([1, 1e3, 1e-3, 5, 0.1, 1])
    table, other = fit_table("v", values), fit_table("v", values * units)
    a = [map_distance(table, row) for row in values]
    assert [map_distance(other, row * units) for row in values] == pytest.approx(a, rel=1e-4)


def test_pictures_that_are_all_alike_can_be_fitted() -> None:
    table = fit_table("v", np.ones((LEAST_PICTURES, 6)))
    assert map_distance(table, np.ones(6)) == 0
    assert map_distance(table, np.ones(6) + 0.1) > table.most_distance


def test_too_few_are_refused_with_their_number() -> None:
    with pytest.raises(UsageError, match=f"{LEAST_PICTURES - 1} pictures"):
        fit_table("v", pictures(LEAST_PICTURES - 1))


@pytest.mark.parametrize(
    ("spread", "precision"),
    [
        ((1.0,), ((1.0,), (0.0, 1.0))),
        ((1.0, 1.0), ((1.0,),)),
        ((1.0, 1.0), ((1.0,), (1.0,))),
        ((1.0, 1.0), ((1.0, 0.0), (0.0, 1.0))),
    ],
)
def test_a_table_of_uneven_sizes_is_refused(
    spread: tuple[float, ...], precision: tuple[tuple[float, ...], ...]
) -> None:
    with pytest.raises(ConfigurationError, match="as many of each"):
        ScoreMapTable("v", (0.0, 0.0), spread, precision, 1.0)
