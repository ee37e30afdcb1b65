"""How much a service takes on."""

from __future__ import annotations

import math

import msgspec

from realmnet_runtime.errors import UsageError

_LONGEST_SECONDS = 3_600.0
_LARGEST_BYTES = 1 << 30


class ServiceLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits on size, number and time of requests.

    Memory is bounded by them: every admitted request holds its body, and each of `at_once`
    pictures is decoded.

    Attributes:
        largest_bytes: of a request's body; a longer one is 413.
        at_once: pictures in work at a time. One is decoded while the engine, which takes one at a
            time, answers another; more gain nothing.
        waiting: requests that wait beside those; a further one is 503.
        deadline_seconds: from a request's arrival to its answer, else 504; a body that takes so
            long to come is 408.
    """

    largest_bytes: int = 64 << 20
    at_once: int = 2
    waiting: int = 8
    deadline_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("largest_bytes", 1, _LARGEST_BYTES),
            ("at_once", 1, 64),
            ("waiting", 0, 1_000),
            ("deadline_seconds", 0.01, _LONGEST_SECONDS),
        ):
            value = getattr(self, name)
            if not (math.isfinite(value) and least <= value <= most):
                raise UsageError(f"{name} {value}; {least:g} to {most:.0f} are allowed")

    @property
    def admitted(self) -> int:
        """Requests in hand at most: in work and waiting."""
        return self.at_once + self.waiting
