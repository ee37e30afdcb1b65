"""What is counted: numbers of requests and times alone, nothing of any picture or person."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.serving.replies import OUTCOMES

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Measures:
    """Counts of one service, in the text form of Prometheus; any thread may add to them."""

    def __init__(self, predictor: Predictor) -> None:
        # Its own: the library's default one is the process's.
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "realmnet_requests",
            "Requests for an answer, by what became of them.",
            ["outcome"],
            registry=self._registry,
        )
        for outcome in OUTCOMES:
            self._requests.labels(outcome)
        self._seconds = Histogram(
            "realmnet_answer_seconds",
            "From arrival to answer, of requests that were answered.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.in_hand = Gauge(
            "realmnet_requests_in_hand",
            "Requests admitted: coming in, waiting and in work.",
            registry=self._registry,
        )
        facts = predictor.facts
        Gauge(
            "realmnet_bundle_info",
            "What answers; always 1.",
            ["bundle_sha256", "variant", "engine", "precision"],
            registry=self._registry,
        ).labels(
            predictor.bundle.digest, predictor.variant.name, facts.engine, facts.precision
        ).set(1)

    def count(self, outcome: str, seconds: float) -> None:
        """Add a request.

        Args:
            outcome: one of `OUTCOMES`.
            seconds: from its arrival to its reply.
        """
        self._requests.labels(outcome).inc()
        if outcome in {"answered", "ungradable"}:
            self._seconds.observe(seconds)

    def text(self) -> bytes:
        """The exposition, as `METRICS_TYPE` says."""
        return generate_latest(self._registry)
