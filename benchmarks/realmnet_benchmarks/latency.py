"""Latency of several variants inside one run: interleaved rounds, medians, paired ratios.

Two processes on one machine differ by a few percent, and so does one process before and after a
pause; a ratio of neighbours in the same round differs least. Milliseconds belong to the machine
that measured them, ratios travel better: quote those.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
import numpy as np

from realmnet_runtime.errors import UsageError

Clock = Callable[[], float]


class LatencyPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How latency is measured.

    Attributes:
        rounds: in each of which every variant answers once.
        warm_up: rounds before them that do not count.
        seed: of the order within a round.
    """

    rounds: Annotated[int, msgspec.Meta(ge=3)] = 30
    warm_up: Annotated[int, msgspec.Meta(ge=0)] = 3
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class Latency(msgspec.Struct, frozen=True):
    """How long one variant takes for one call.

    Attributes:
        median_ms: over the rounds.
        low_ms, high_ms: quartiles.
        ratio: median over the rounds of this variant's time by the reference's in that round.
        ratios: the same by the name of every variant, itself among them.
        rounds: that were counted.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    ratio: float
    ratios: dict[str, float]
    rounds: int


def measure_latency(
    calls: Mapping[str, Callable[[], object]],
    reference: str,
    plan: LatencyPlan | None = None,
    *,
    clock: Clock = time.perf_counter,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Latency]:
    """Time calls in interleaved rounds, each round in another order.

    Args:
        calls: by name; batch and threads are the caller's.
        reference: name of the one to which the ratios are.
        plan: rounds and warm-up.
        clock: seconds.
        progress: told rounds done and in all.

    Raises:
        UsageError: the reference is none of the calls.
    """
    plan = plan or LatencyPlan()
    if reference not in calls:
        raise UsageError(f"no call '{reference}' to refer to; there are {', '.join(calls)}")
    names = list(calls)
    rng = np.random.default_rng(plan.seed)
    seconds = np.zeros((plan.rounds, len(names)))
    for turn in range(-plan.warm_up, plan.rounds):
        for place in rng.permutation(len(names)):
            begun = clock()
            calls[names[place]]()
            ended = clock()
            if turn >= 0:
                seconds[turn, place] = ended - begun
        progress(turn + plan.warm_up + 1, plan.warm_up + plan.rounds)
    # a clock that did not move between two calls must not divide by zero
    against = np.maximum(seconds, 1e-9)
    ratios = np.median(seconds[:, :, np.newaxis] / against[:, np.newaxis, :], axis=0)
    low, median, high = np.percentile(1000.0 * seconds, [25, 50, 75], axis=0)
    return {
        name: Latency(
            median_ms=float(median[place]),
            low_ms=float(low[place]),
            high_ms=float(high[place]),
            ratio=float(ratios[place, names.index(reference)]),
            ratios=dict(zip(names, ratios[place].tolist(), strict=True)),
            rounds=plan.rounds,
        )
        for place, name in enumerate(names)
    }
