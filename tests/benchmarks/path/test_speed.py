"""Routes that take turns: percentiles, ratios and agreement against NumPy and by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from realmnet_benchmarks.path.routes import Block
from realmnet_benchmarks.path.speed import SpeedPlan, speeds, take_turns
from realmnet_runtime.errors import UsageError

FILES = ["a", "b", "c"]


class Scripted:
    """A route with a time for every file and round, which notes when it was asked."""

    def __init__(
        self, name: str, seconds: np.ndarray, found: Sequence[tuple[str, ...]], log: list[str]
    ) -> None:
        self.name = name
        self.found = tuple(found)
        self.log = log
        self._rounds = iter(seconds.tolist())

    def block(self, files: Sequence[str]) -> Block:
        assert list(files) == FILES
        self.log.append(self.name)
        return Block(tuple(next(self._rounds)), self.found)


@pytest.fixture
def times() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {name: rng.gamma(9, 0.01, size=(2 + 50, 3)) for name in ("ours", "plain")}


def test_figures_are_those_of_the_rounds_that_count(times: dict[str, np.ndarray]) -> None:
    log: list[str] = []
    found = {"ours": [("MA",), (), ("PS",)], "plain": [("MA",), ("TFO",), ("DCA", "PS")]}
    routes = [Scripted(name, times[name], found[name], log) for name in times]
    samples = take_turns(routes, FILES, SpeedPlan(rounds=50, warm_up=2))
    figures = speeds(samples, {"one": 1, "two": 2}, "ours", labels=7)

    ours, plain = times["ours"][2:, 1:], times["plain"][2:, 1:]
    got = figures["two"]["plain"]
    assert got.median_ms == pytest.approx(1e3 * np.median(plain))
    assert (got.low_ms, got.high_ms) == pytest.approx(tuple(1e3 * np.quantile(plain, [0.25, 0.75])))
    ratios = plain.sum(axis=1) / ours.sum(axis=1)
    assert got.ratio == pytest.approx(np.median(ratios))
    assert got.ratio_of_fastest == pytest.approx(plain.min(0).mean() / ours.min(0).mean())
    # Of the two pictures' 14 label decisions two differ.
    assert got.agreement == pytest.approx(12 / 14)
    assert figures["one"]["plain"].agreement == pytest.approx(1.0)
    assert figures["two"]["ours"].ratio == pytest.approx(1.0)
    # Every round asks each route once, and not always in the same order.
    rounds = [tuple(log[n : n + 2]) for n in range(0, len(log), 2)]
    assert len(rounds) == 52
    assert set(rounds) == {("ours", "plain"), ("plain", "ours")}


def test_noise_that_slows_a_whole_round_does_not_move_the_ratio() -> None:
    slow = np.linspace(1, 30, 20)[:, np.newaxis] * np.array([[1.0, 2.0, 3.0]])
    log: list[str] = []
    none = [()] * 3
    routes = [Scripted("ours", slow, none, log), Scripted("plain", 4.0 * slow, none, log)]
    samples = take_turns(routes, FILES, SpeedPlan(rounds=20, warm_up=0))
    plain = speeds(samples, {"all": 3}, "ours", labels=7)["all"]["plain"]
    assert (plain.ratio_low, plain.ratio, plain.ratio_high) == pytest.approx((4.0, 4.0, 4.0))


def test_without_pictures_there_is_nothing_to_time() -> None:
    with pytest.raises(UsageError, match="no pictures"):
        take_turns([], [], SpeedPlan())
