"""Admission and threads: one predictor, a bounded number of requests in hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, final

from fastapi import Request
from starlette.requests import ClientDisconnect

from realmnet_runtime._version import __version__
from realmnet_runtime.answering.deadline import Deadline
from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.audit import AuditLog
from realmnet_runtime.errors import RealmnetError
from realmnet_runtime.serving.bodies import read_body
from realmnet_runtime.serving.limits import ServiceLimits
from realmnet_runtime.serving.measures import Measures
from realmnet_runtime.serving.replies import Declined, Reply, error_reply, unforeseen_reply
from realmnet_runtime.serving.responder import Responder
from realmnet_runtime.serving.wishes import Wishes

Tell = Callable[[str], None]


def _nobody(_: str) -> None:
    """Nobody is told."""


@final
class Service:
    """Answers requests side by side, within limits; a context manager.

    Its coroutines run in one event loop and never hold it up: pictures are decoded, answered and
    drawn in threads, as many as `ServiceLimits.at_once`, which `Predictor` allows.

    Args:
        predictor: open; it stays the caller's to close.
        limits: on size, number and time.
        log: see `Responder`.
        tell: is told in one line of what nobody foresaw; it names no picture.
    """

    def __init__(
        self,
        predictor: Predictor,
        limits: ServiceLimits | None = None,
        *,
        log: AuditLog | None = None,
        tell: Tell = _nobody,
    ) -> None:
        self.limits = ServiceLimits() if limits is None else limits
        self.measures = Measures(predictor)
        self._responder = Responder(predictor, log)
        self._tell = tell
        self._in_hand = 0
        self._facts = _facts(predictor)
        self._threads = ThreadPoolExecutor(self.limits.at_once, "realmnet-serve")

    def health(self) -> dict[str, Any]:
        """JSON-ready: that it lives, whether it takes on a request now, and what answers."""
        return {
            "live": True,
            "ready": self._in_hand < self.limits.admitted,
            "in_hand": self._in_hand,
            "admitted": self.limits.admitted,
        } | self._facts

    async def answer(self, request: Request, wishes: Wishes) -> Reply:
        """Take a request on, and answer it; whatever goes wrong is a reply."""
        began = time.monotonic()
        try:
            reply = await self._answer(request, wishes)
        except RealmnetError as error:
            reply = error_reply(error)
        except ClientDisconnect:
            # In the middle of its body; nobody reads this.
            reply = Reply(400, b"", "gone")
        except Exception as error:  # noqa: BLE001 - one request must not end the service
            self._tell(f"a request failed: unexpected {type(error).__name__}")
            reply = unforeseen_reply(error)
        self.measures.count(reply.outcome, time.monotonic() - began)
        return reply

    async def _answer(self, request: Request, wishes: Wishes) -> Reply:
        limit = Deadline.after(self.limits.deadline_seconds)
        # Before the body is taken in, so that no more bodies are held than requests admitted.
        with self._place():
            body = await read_body(request, self.limits.largest_bytes, limit.remaining)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._threads, self._responder.reply, body, wishes, limit
            )

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._in_hand >= self.limits.admitted:
            raise Declined(
                "Busy", f"{self._in_hand} requests are in hand, as many as are taken; try again"
            )
        self._in_hand += 1
        self.measures.in_hand.set(self._in_hand)
        try:
            yield
        finally:
            self._in_hand -= 1
            self.measures.in_hand.set(self._in_hand)

    def __enter__(self) -> Service:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the pictures in work; what waits behind them is given up."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def _facts(predictor: Predictor) -> dict[str, Any]:
    model, facts = predictor.manifest.model, predictor.facts
    return {
        "version": __version__,
        "model": f"{model.name} {model.version}",
        "notice": model.notice,
        "bundle_sha256": predictor.bundle.digest,
        "variant": predictor.variant.name,
        "engine": facts.engine,
        "engine_version": facts.version,
        "precision": facts.precision,
        "threads": facts.threads,
        "prepared": predictor.loaded_how,
        "labels": {label.name: label.meaning for label in predictor.manifest.labels.labels},
    }
