"""Interleaved timing with a clock of ours: medians and paired ratios are known."""

from __future__ import annotations

import numpy as np
import pytest

from realmnet_benchmarks.latency import LatencyPlan, measure_latency
from realmnet_runtime.errors import UsageError


class Machine:
    """A machine whose speed drifts: every call takes its own time and slows the next round."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def call(self, name: str, seconds: float) -> None:
        drift = 1.0 + len(self.calls) // 2
        self.calls.append(name)
        self.now += seconds * drift


def test_ratios_are_paired_and_free_of_drift() -> None:
    machine = Machine()
    found = measure_latency(
        {"slow": lambda: machine.call("slow", 4.0), "fast": lambda: machine.call("fast", 1.0)},
        "slow",
        LatencyPlan(rounds=5, warm_up=2),
        clock=lambda: machine.now,
    )

    assert found["fast"].ratio == pytest.approx(0.25)
    assert found["slow"].ratio == 1.0
    assert found["slow"].ratios == {"slow": 1.0, "fast": pytest.approx(4.0)}
    # rounds 3 to 7 take 3 to 7 times as long
    assert found["fast"].median_ms == pytest.approx(5_000.0)
    assert found["slow"].low_ms == pytest.approx(1_000 * np.percentile([12, 16, 20, 24, 28], 25))
    assert found["fast"].rounds == 5


def test_every_round_has_every_variant_once_in_changing_order() -> None:
    machine = Machine()
    calls = {name: (lambda name=name: machine.call(name, 1.0)) for name in "abc"}

    measure_latency(calls, "a", LatencyPlan(rounds=8, warm_up=1), clock=lambda: machine.now)

    rounds = [tuple(machine.calls[i : i + 3]) for i in range(0, 27, 3)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len(set(rounds)) > 1


def test_an_unknown_reference_is_refused() -> None:
    with pytest.raises(UsageError, match="no call 'x'"):
        measure_latency({"a": lambda: None}, "x")
