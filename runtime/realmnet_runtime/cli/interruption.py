"""Ctrl-C and SIGTERM that wait for the work in hand."""

from __future__ import annotations

import contextlib
import signal
import time
from types import FrameType, TracebackType
from typing import Any, Final, final

_ENDING: Final = (signal.SIGINT, signal.SIGTERM)


@final
class Interruption:
    """Notes the first signal to end, and pauses that it cuts short; a context manager.

    While something is done the first signal is only noted, and a second one is not waited for.
    What a signal was told to do before holds again afterwards.
    """

    def __init__(self) -> None:
        self._asked = False
        self._idle = False
        self._before: dict[signal.Signals, Any] = {}

    def __call__(self, seconds: float) -> bool:
        """Wait so long, and say whether to end.

        Raises:
            KeyboardInterrupt: the signal came while waiting.
        """
        if seconds > 0:
            # Before the flag is looked at: a signal in between would be slept over.
            self._idle = True
            try:
                if not self._asked:
                    time.sleep(seconds)
            finally:
                self._idle = False
        return self._asked

    def __enter__(self) -> Interruption:
        for number in _ENDING:
            # Whoever started us may have said to ignore one; and only a main thread is asked.
            if signal.getsignal(number) is not signal.SIG_IGN:
                with contextlib.suppress(ValueError):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, _: int, __: FrameType | None) -> None:
        if self._idle or self._asked:
            raise KeyboardInterrupt
        self._asked = True
