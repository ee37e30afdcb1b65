"""File to decision by several routes: blocks that take turns, ratios of the same round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.path.environment import Environment
from realmnet_benchmarks.path.routes import Block
from realmnet_benchmarks.progress import Report
from realmnet_runtime.errors import UsageError


class SpeedPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it is measured.

    Attributes:
        rounds: in each of which every route answers every file.
        warm_up: rounds before them that do not count.
        seed: of the order of the routes within a round.
    """

    rounds: Annotated[int, msgspec.Meta(ge=3)] = 20
    warm_up: Annotated[int, msgspec.Meta(ge=0)] = 2
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


class RouteSpeed(msgspec.Struct, frozen=True):
    """One route over one group of files.

    Attributes:
        median_ms, low_ms, high_ms: median and quartiles of a picture.
        fastest_ms: mean over the files of each one's fastest answer.
        ratio, ratio_low, ratio_high: this route's time for the group by ours in the same round,
            median and quartiles over the rounds: how many times faster ours is.
        ratio_of_fastest: the same of `fastest_ms`, which noise disturbs least.
        agreement: share of the label decisions that are as ours, 0..1.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    fastest_ms: float
    ratio: float
    ratio_low: float
    ratio_high: float
    ratio_of_fastest: float
    agreement: float


class SpeedReport(msgspec.Struct, frozen=True):
    """Every figure and raw sample.

    Attributes:
        bundle_sha256, variant: that were measured.
        groups: description -> number of files.
        ours: name of the route that ratios are to.
        needed: by route, the ratio that is aimed at.
        found: group -> route -> figures.
        seconds: route -> round -> file, in the order of the groups.
    """

    bundle_sha256: str
    variant: str
    environment: Environment
    plan: SpeedPlan
    groups: dict[str, int]
    ours: str
    needed: dict[str, float]
    found: dict[str, dict[str, RouteSpeed]]
    seconds: dict[str, list[list[float]]]


class Asked(Protocol):
    """What is measured: a `Route`."""

    name: str

    def block(self, files: Sequence[str]) -> Block:
        """Answer files in order."""
        ...


class Samples(msgspec.Struct, frozen=True):
    """Seconds by route, round and file; findings of the last round by route and file."""

    seconds: dict[str, list[list[float]]]
    findings: dict[str, tuple[tuple[str, ...], ...]]


def take_turns(
    routes: Sequence[Asked],
    files: Sequence[str],
    plan: SpeedPlan,
    progress: Report = lambda _done, _total: None,
) -> Samples:
    """Have every route answer every file in each round, the routes in another order each round.

    Raises:
        UsageError: no files.
        RealmnetError: a route ended.
    """
    if not files:
        raise UsageError("no pictures to answer; name files, or draw phantoms with --phantoms")
    rng = np.random.default_rng(plan.seed)
    seconds: dict[str, list[list[float]]] = {route.name: [] for route in routes}
    findings: dict[str, tuple[tuple[str, ...], ...]] = {}
    for turn in range(plan.warm_up + plan.rounds):
        for place in rng.permutation(len(routes)):
            route = routes[place]
            block = route.block(files)
            findings[route.name] = block.findings
            if turn >= plan.warm_up:
                seconds[route.name].append(list(block.seconds))
        progress(turn + 1, plan.warm_up + plan.rounds)
    return Samples(seconds, findings)


def speeds(
    samples: Samples, groups: Mapping[str, int], ours: str, labels: int
) -> dict[str, dict[str, RouteSpeed]]:
    """Figures by group and route.

    Args:
        samples: of all files, group after group.
        groups: description -> number of files.
        ours: route that ratios are to.
        labels: of the model, for the agreement.
    """
    found = {}
    start = 0
    for name, count in groups.items():
        part = slice(start, start + count)
        start += count
        times = {route: np.array(rounds)[:, part] for route, rounds in samples.seconds.items()}
        found[name] = {
            route: _speed(
                times[route],
                times[ours],
                _agreement(samples.findings[route][part], samples.findings[ours][part], labels),
            )
            for route in times
        }
    return found


def _speed(mine: NDArray[np.float64], ours: NDArray[np.float64], agreement: float) -> RouteSpeed:
    """Figures of (rounds, files) seconds."""
    low, median, high = np.percentile(1e3 * mine, [25, 50, 75])
    ratios = mine.sum(axis=1) / ours.sum(axis=1)
    ratio_low, ratio, ratio_high = np.percentile(ratios, [25, 50, 75])
    fastest, our_fastest = (times.min(axis=0).mean() for times in (mine, ours))
    return RouteSpeed(
        median_ms=float(median),
        low_ms=float(low),
        high_ms=float(high),
        fastest_ms=float(1e3 * fastest),
        ratio=float(ratio),
        ratio_low=float(ratio_low),
        ratio_high=float(ratio_high),
        ratio_of_fastest=float(fastest / our_fastest),
        agreement=agreement,
    )


def _agreement(
    theirs: Sequence[tuple[str, ...]], ours: Sequence[tuple[str, ...]], labels: int
) -> float:
    changed = sum(len(set(a) ^ set(b)) for a, b in zip(theirs, ours, strict=True))
    return 1.0 - changed / (labels * len(ours))
