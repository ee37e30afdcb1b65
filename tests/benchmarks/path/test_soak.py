"""The detector of leaks, against a process that leaks and one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from realmnet_benchmarks.path.soak import SoakPlan, judge, soak

PLAN = SoakPlan(answers=4_000, every=100, warm_up=500)
MEGABYTE = 1_000_000


class Engine:
    """Keeps as many bytes of every picture as it is told to, touched so that they count."""

    def __init__(self, kept_bytes: int) -> None:
        self.kept_bytes = kept_bytes
        self.kept: list[np.ndarray] = []
        self.answers = 0

    def answer(self, _picture: str) -> None:
        self.answers += 1
        # In pieces large enough to come from the system each time.
        if self.kept_bytes and self.answers % 100 == 0:
            self.kept.append(np.ones(100 * self.kept_bytes, np.uint8))


def test_a_leak_of_a_megabyte_per_hundred_pictures_is_found() -> None:
    engine = Engine(MEGABYTE // 100)
    found = soak(engine.answer, ["eye"], PLAN)
    assert not found.passed
    assert found.mb_per_1000 == pytest.approx(10.0, abs=1.0)
    assert engine.answers == PLAN.answers


def test_a_clean_process_is_let_pass() -> None:
    found = soak(Engine(0).answer, ["eye"], PLAN)
    assert found.passed
    assert abs(found.mb_per_1000) < 0.5


def test_pictures_are_answered_in_turn_and_memory_looked_at_between() -> None:
    answered: list[str] = []
    looks = iter(range(100))
    plan = SoakPlan(answers=10, every=2, warm_up=3)
    found = soak(answered.append, ["a", "b", "c"], plan, memory=lambda: float(next(looks)))
    assert answered == list("abcabcabca")
    assert found.samples == [(2, 0.0), (4, 1.0), (6, 2.0), (8, 3.0), (10, 4.0)]
    assert (found.first_mb, found.last_mb) == (1.0, 4.0)
    assert found.mb_per_1000 == pytest.approx(500.0)


def test_growth_while_warming_up_and_a_jump_are_no_slope() -> None:
    samples = [(n, 200.0 + min(n, 1_000) / 10) for n in range(100, 10_001, 100)]
    samples[60] = (samples[60][0], 400.0)
    assert judge(samples, 1_000).mb_per_1000 == pytest.approx(0.0)


@pytest.mark.parametrize(("slope", "passes"), [(0.99, True), (1.01, False)])
def test_the_limit_is_a_megabyte_per_thousand(slope: float, passes: bool) -> None:
    noise = np.random.default_rng(3).normal(0, 1e-6, 91)
    samples = [
        (n, 300.0 + slope * n / 1e3 + e)
        for n, e in zip(range(1_000, 10_001, 100), noise, strict=True)
    ]
    assert judge(samples, 900).passed is passes
