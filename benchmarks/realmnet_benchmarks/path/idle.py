"""Processor time that a process takes after it has answered, in the clinic's rhythm."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Annotated, Final, TypeVar

import msgspec
import numpy as np

from realmnet_benchmarks.path.environment import Environment

MOST_MS: Final = 5.0
"""Processor time in the second after an answer, median."""

Picture = TypeVar("Picture")


class IdlePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rhythm.

    Attributes:
        answers: that count.
        warm_up: answers before them.
        rest_s: seconds after each answer in which processor time is counted.
    """

    answers: Annotated[int, msgspec.Meta(ge=3)] = 30
    warm_up: Annotated[int, msgspec.Meta(ge=0)] = 2
    rest_s: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Idle(msgspec.Struct, frozen=True):
    """Processor time of all threads while nothing was asked.

    Attributes:
        median_ms, high_ms, largest_ms: median, upper quartile and largest, of one rest.
        answer_ms: processor time of one answer, median, for comparison.
        samples_ms: of every rest.
        passed: the median is at most `MOST_MS`.
    """

    median_ms: float
    high_ms: float
    largest_ms: float
    answer_ms: float
    samples_ms: list[float]
    passed: bool


class IdleReport(msgspec.Struct, frozen=True):
    """The figures, what they are of, and where they were taken."""

    bundle_sha256: str
    variant: str
    pictures: str
    environment: Environment
    plan: IdlePlan
    found: Idle


def idle(
    answer: Callable[[Picture], object],
    pictures: Sequence[Picture],
    plan: IdlePlan,
    *,
    processor_time: Callable[[], float] = time.process_time,
    sleep: Callable[[float], object] = time.sleep,
) -> Idle:
    """Answer, rest, and count what the process computed while it rested.

    Nothing else may run in this process, a progress bar's thread for one.

    Args:
        answer: to one picture.
        pictures: at least one; repeated in order.
        plan: the rhythm.
        processor_time: seconds of all threads of this process.
        sleep: rests.
    """
    rests, answers = [], []
    for picture in islice(cycle(pictures), plan.warm_up + plan.answers):
        before = processor_time()
        answer(picture)
        answered = processor_time()
        sleep(plan.rest_s)
        answers.append(1e3 * (answered - before))
        rests.append(1e3 * (processor_time() - answered))
    counted = rests[plan.warm_up :]
    median, high = np.percentile(counted, [50, 75])
    return Idle(
        median_ms=float(median),
        high_ms=float(high),
        largest_ms=max(counted),
        answer_ms=float(np.median(answers[plan.warm_up :])),
        samples_ms=counted,
        passed=bool(median <= MOST_MS),
    )
