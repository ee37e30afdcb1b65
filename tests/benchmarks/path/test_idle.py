"""The detector of engines that compute while nothing is asked."""

from __future__ import annotations

import threading
import time

import pytest

from realmnet_benchmarks.path.idle import IdlePlan, idle

PLAN = IdlePlan(answers=3, warm_up=1, rest_s=1.0)


class Clock:
    """Processor time that moves only by what is said to be computed."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def compute(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.mark.parametrize(("spinning_s", "passes"), [(0.0004, True), (0.3, False)])
def test_processor_time_in_the_rest_alone_is_counted(spinning_s: float, passes: bool) -> None:
    clock = Clock()
    found = idle(
        lambda _: clock.compute(0.08),
        ["eye"],
        PLAN,
        processor_time=lambda: clock.seconds,
        sleep=lambda _: clock.compute(spinning_s),
    )
    assert found.passed is passes
    assert found.median_ms == pytest.approx(1e3 * spinning_s)
    assert found.answer_ms == pytest.approx(80.0)
    assert len(found.samples_ms) == PLAN.answers


def test_answers_that_do_not_count_are_left_out() -> None:
    clock = Clock()
    rests = iter([9.0, 0.001, 0.002, 0.003])
    found = idle(
        lambda _: None,
        ["eye"],
        PLAN,
        processor_time=lambda: clock.seconds,
        sleep=lambda _: clock.compute(next(rests)),
    )
    assert found.samples_ms == pytest.approx([1.0, 2.0, 3.0])
    assert found.largest_ms == pytest.approx(3.0)


class Spinning:
    """An engine whose thread goes on computing after the answer, as some do by default."""

    def __init__(self) -> None:
        self.ends = threading.Event()
        self.spun = threading.Event()
        self.thread: threading.Thread | None = None

    def answer(self, _picture: str) -> None:
        self.spun.clear()
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.thread.start()

    def _spin(self) -> None:
        while time.thread_time() < 0.02:
            pass
        self.spun.set()

    def rest(self, _seconds: float) -> None:
        assert self.spun.wait(60)


def test_a_spinning_thread_is_found() -> None:
    engine = Spinning()
    # The rest lasts until the thread says that it has spun 20 ms, however busy the machine is.
    found = idle(engine.answer, ["eye"], PLAN, sleep=engine.rest)
    assert not found.passed


def test_an_engine_that_waits_is_let_pass() -> None:
    found = idle(lambda _: None, ["eye"], PLAN, sleep=lambda _: time.sleep(0.01))
    assert found.passed
