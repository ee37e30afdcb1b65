"""Fresh processes: what is read of them, and how ours are compared with bare ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from realmnet_benchmarks.path.start import (
    Started,
    StartPlan,
    figures,
    start_process,
    take_turns,
)
from realmnet_runtime.errors import RealmnetError

ANSWER = "import sys; print('answered', flush=True); sys.stdin.readline()"
NOT_KEPT = "peak memory is read on Linux and Windows"


def test_a_process_is_measured_until_it_answers() -> None:
    started = start_process([sys.executable, "-c", f"import time; time.sleep(0.2); {ANSWER}"])
    assert started.seconds >= 0.2


@pytest.mark.skipif(sys.platform not in {"linux", "win32"}, reason=NOT_KEPT)
def test_the_peak_is_the_processs_own_and_outlives_what_it_freed() -> None:
    kept = bytearray(b"x") * 150_000_000  # must not count as the child's, though it forks from us
    small = start_process([sys.executable, "-c", ANSWER])
    large = start_process([sys.executable, "-c", f"x = b'x' * 80_000_000; del x; {ANSWER}"])
    assert len(kept) == 150_000_000
    assert small.megabytes is not None
    assert large.megabytes is not None
    assert small.megabytes < 60
    assert large.megabytes - small.megabytes == pytest.approx(80, abs=8)


def test_a_process_that_ends_before_it_answers_is_an_error() -> None:
    with pytest.raises(RealmnetError, match="ended with code 3 before it answered"):
        start_process([sys.executable, "-c", "raise SystemExit(3)"])


def test_each_program_is_started_once_a_round_in_changing_order() -> None:
    log: list[str] = []

    def starter(command: Sequence[str]) -> Started:
        log.append(command[0])
        return Started(float(len(log)), None)

    samples = take_turns({"a": ["a"], "b": ["b"]}, StartPlan(processes=20, warm_up=1), starter)
    assert {name: len(found) for name, found in samples.items()} == {"a": 20, "b": 20}
    rounds = [tuple(log[n : n + 2]) for n in range(0, len(log), 2)]
    assert set(rounds) == {("a", "b"), ("b", "a")}


def processes(seconds: Sequence[float], megabytes: float | None) -> list[Started]:
    return [Started(each, megabytes) for each in seconds]


@pytest.mark.parametrize(
    ("later", "more", "in_time", "in_memory"),
    [(0.39, 39.0, True, True), (0.41, 39.0, False, True), (0.39, 41.0, True, False)],
)
def test_the_limits(later: float, more: float, in_time: bool, in_memory: bool) -> None:
    bare = [0.5, 5.0, 0.7]  # one round in which the machine was busy
    ours = [second + later for second in bare]
    found = figures(processes(ours, 300.0 + more), processes(bare, 300.0))
    assert (found.in_time, found.in_memory) == (in_time, in_memory)
    assert found.later_s == pytest.approx(later)
    assert found.bare_s == 0.7
    assert found.more_mb == pytest.approx(more)


def test_memory_that_was_not_measured_has_no_verdict() -> None:
    found = figures(processes([1.0, 1.0, 1.0], None), processes([1.0, 1.0, 1.0], None))
    assert (found.ours_mb, found.more_mb, found.in_memory) == (None, None, None)
