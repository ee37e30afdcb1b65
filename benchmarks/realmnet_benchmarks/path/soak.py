"""Whether memory stays flat over thousands of answers in one process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Annotated, Final, TypeVar

import msgspec
import numpy as np
import psutil
from scipy.stats import theilslopes

from realmnet_benchmarks.path.environment import Environment
from realmnet_benchmarks.progress import Report

MOST_PER_1000: Final = 1.0
"""Megabytes by which memory may grow over 1,000 answers."""

Picture = TypeVar("Picture")


class SoakPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long.

    Attributes:
        answers: in all.
        every: answers between two looks at memory.
        warm_up: answers before the slope begins.
    """

    answers: Annotated[int, msgspec.Meta(ge=10)] = 10_000
    every: Annotated[int, msgspec.Meta(ge=1)] = 100
    warm_up: Annotated[int, msgspec.Meta(ge=0)] = 1_000


class Soak(msgspec.Struct, frozen=True):
    """What memory did, 10^6 bytes.

    Attributes:
        mb_per_1000: slope over the answers after the warm-up (Theil-Sen: the median of the
            slopes between all pairs of samples, which a few jumps do not move).
        low, high: its 95 % interval, as if samples did not depend on one another.
        first_mb, last_mb: after the warm-up and at the end.
        samples: (answers so far, resident megabytes), the warm-up's among them.
        passed: the slope is at most `MOST_PER_1000`.
    """

    mb_per_1000: float
    low: float
    high: float
    first_mb: float
    last_mb: float
    samples: list[tuple[int, float]]
    passed: bool


class SoakReport(msgspec.Struct, frozen=True):
    """The figures, what they are of, and where they were taken."""

    bundle_sha256: str
    variant: str
    pictures: str
    environment: Environment
    plan: SoakPlan
    found: Soak


def resident_megabytes() -> float:
    """Memory this process holds now, 10^6 bytes."""
    return float(psutil.Process().memory_info().rss) / 1e6


def soak(
    answer: Callable[[Picture], object],
    pictures: Sequence[Picture],
    plan: SoakPlan,
    *,
    memory: Callable[[], float] = resident_megabytes,
    progress: Report = lambda _done, _total: None,
) -> Soak:
    """Answer pictures over and over, and look at memory now and then.

    Args:
        answer: to one picture.
        pictures: at least one; repeated in order.
        plan: at least three samples have to follow the warm-up.
        memory: resident megabytes.
        progress: told of answers.
    """
    samples = []
    for number, picture in enumerate(islice(cycle(pictures), plan.answers), start=1):
        answer(picture)
        if number % plan.every == 0:
            # Cycles of Python objects that only wait for the collector are no leak.
            gc.collect()
            samples.append((number, memory()))
            progress(number, plan.answers)
    return judge(samples, plan.warm_up)


def judge(samples: list[tuple[int, float]], warm_up: int) -> Soak:
    """The slope of (answers, megabytes) after the warm-up, and the verdict."""
    counted = np.array([sample for sample in samples if sample[0] > warm_up])
    thousands, megabytes = counted[:, 0] / 1e3, counted[:, 1]
    slope, _, low, high = np.asarray(theilslopes(megabytes, thousands), np.float64).tolist()
    return Soak(
        mb_per_1000=slope,
        low=low,
        high=high,
        first_mb=float(megabytes[0]),
        last_mb=float(megabytes[-1]),
        samples=samples,
        passed=slope <= MOST_PER_1000,
    )
