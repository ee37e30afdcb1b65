"""How long an answer may take: a moment on the clock that nobody can set back."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Final

from realmnet_runtime.errors import DeadlineExceeded, UsageError

LONGEST_SECONDS: Final = 86_400
"""A day; what waits for a lock takes no longer times than a machine word holds."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment by which an answer must be there.

    Attributes:
        seconds: allowed from the start; infinite where there is no deadline.
        moment: on `time.monotonic`.
    """

    seconds: float
    moment: float

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """So many seconds from now; None for never.

        Raises:
            UsageError: not above 0, or longer than a day.
        """
        if seconds is None:
            return NO_DEADLINE
        if not 0 < seconds <= LONGEST_SECONDS:
            raise UsageError(
                f"deadline of {seconds} seconds; more than 0 and at most {LONGEST_SECONDS}, or None"
            )
        return cls(seconds, time.monotonic() + seconds)

    @property
    def remaining(self) -> float | None:
        """Seconds left, 0 where none are; None where there is no deadline."""
        if math.isinf(self.moment):
            return None
        return max(0.0, self.moment - time.monotonic())

    def require(self, stage: str) -> None:
        """Go on only where time is left.

        Args:
            stage: what was just done, for the message.

        Raises:
            DeadlineExceeded: none is.
        """
        if time.monotonic() >= self.moment:
            raise DeadlineExceeded(
                f"no answer within {self.seconds:g} s: time was over after stage '{stage}'; give "
                f"it more, or take a faster variant or more threads"
            )


NO_DEADLINE: Final = Deadline(math.inf, math.inf)
"""Always time."""
