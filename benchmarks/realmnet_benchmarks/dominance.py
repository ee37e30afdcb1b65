"""Which variants no machine needs, because another one is as good in everything.

The rule. A machine runs one engine, and an engine needs one variant it can run. So a variant is
judged only against those that could stand in for it: of the same engine, and able to run on every
CPU on which it runs. It is dominated where such a variant is not larger, not slower and not less
accurate. Latency and accuracy count in steps, so that noise is no reason to keep a variant; a
variant that lies within a step of another is not better than it. Of equals the first listed stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import msgspec

from realmnet_runtime.errors import UsageError


class Candidate(msgspec.Struct, frozen=True):
    """What is known of one variant.

    Attributes:
        name: in the bundle.
        engine: that runs it.
        cpu_requires: instruction sets of which any one suffices; empty where any CPU will do.
        bytes: of its files.
        latency: of one picture, in any unit that all share; above 0.
        accuracy: fraction, such as macro average precision.
    """

    name: str
    engine: str
    cpu_requires: tuple[str, ...]
    bytes: int
    latency: float
    accuracy: float

    def __post_init__(self) -> None:
        if not (self.latency > 0 and math.isfinite(self.latency) and math.isfinite(self.accuracy)):
            raise UsageError(
                f"variant '{self.name}' has latency {self.latency} and accuracy {self.accuracy}; "
                "both must be finite and latency above 0: measure it again"
            )


class Steps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What counts as a difference.

    Attributes:
        latency: share of the slower one.
        accuracy: fraction; 0.001 is a tenth of a point.
    """

    latency: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.03
    accuracy: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.001


class Dominated(msgspec.Struct, frozen=True):
    """A variant that is not needed, the one that is kept in its place, and why."""

    variant: str
    by: str
    reason: str


def dominated(candidates: Sequence[Candidate], steps: Steps | None = None) -> list[Dominated]:
    """Name the variants that another one of the same engine makes superfluous.

    Every dominated variant has a dominator that is kept.

    Args:
        candidates: with different names; the order decides between equals.
        steps: what counts as a difference.

    Raises:
        UsageError: two candidates of one name.
    """
    steps = steps or Steps()
    names = [candidate.name for candidate in candidates]
    if len(set(names)) != len(names):
        raise UsageError(f"variants {', '.join(names)}; each needs a name of its own")

    def beats(other: int, place: int) -> bool:
        better = _at_least_as_good(candidates[other], candidates[place], steps)
        mutual = better and _at_least_as_good(candidates[place], candidates[other], steps)
        return better and (not mutual or other < place)

    places = range(len(candidates))
    beaten = {p: [other for other in places if other != p and beats(other, p)] for p in places}
    kept = {place for place, others in beaten.items() if not others}
    return [
        Dominated(
            variant=names[place],
            by=names[by],
            reason=_reason(candidates[place], candidates[by]),
        )
        for place, others in beaten.items()
        if others
        # the relation is transitive, so one of those that beat it is beaten by none
        for by in (min(kept.intersection(others)),)
    ]


def stands_in(other: Candidate, variant: Candidate) -> bool:
    """Whether every machine that runs the variant runs the other one too."""
    anywhere = not other.cpu_requires
    wherever = bool(variant.cpu_requires) and set(variant.cpu_requires) <= set(other.cpu_requires)
    return other.engine == variant.engine and (anywhere or wherever)


def _at_least_as_good(other: Candidate, variant: Candidate, steps: Steps) -> bool:
    return (
        stands_in(other, variant)
        and other.bytes <= variant.bytes
        and _latency_step(other, steps) <= _latency_step(variant, steps)
        and _accuracy_step(other, steps) >= _accuracy_step(variant, steps)
    )


def _latency_step(candidate: Candidate, steps: Steps) -> int:
    return math.floor(math.log(candidate.latency) / -math.log1p(-steps.latency))


def _accuracy_step(candidate: Candidate, steps: Steps) -> int:
    # accuracies are decimals: 0.9 / 0.001 must not fall below 900
    return math.floor(candidate.accuracy / steps.accuracy + 1e-9)


def _reason(variant: Candidate, by: Candidate) -> str:
    return (
        f"{variant.name} is dropped: {by.name} runs wherever it runs and is not larger "
        f"({by.bytes:,} against {variant.bytes:,} bytes), not slower (latency "
        f"{by.latency / variant.latency:.2f} of its own) and not less accurate "
        f"({by.accuracy:.4f} against {variant.accuracy:.4f})"
    )
