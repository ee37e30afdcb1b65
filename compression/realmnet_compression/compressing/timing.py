"""Latency of variants in their engines: batch 1, the same picture, interleaved."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from realmnet_benchmarks.latency import Latency, LatencyPlan, measure_latency
from realmnet_benchmarks.progress import reporting
from realmnet_compression.answers import Float32Array
from realmnet_compression.compressing.eager import EAGER, eager_call
from realmnet_compression.releasing.measured import Run
from realmnet_runtime.backends import Backend, EngineRequest, load_engine
from realmnet_training.model import RealMNet


def time_runs(
    runs: Sequence[Run],
    reference: str,
    tensor: Float32Array,
    plan: LatencyPlan,
    *,
    labels: int,
    threads: int,
    eager: RealMNet | None = None,
) -> dict[str, Latency]:
    """Time variants side by side.

    Args:
        runs: the reference among them; all are open at once.
        reference: name of the one to which the ratios are.
        tensor: (1, 3, S, S) float32.
        plan: rounds.
        labels: of the model.
        threads: of the engines.
        eager: a network that is timed beside them as timm and PyTorch run it, under `EAGER`.

    Raises:
        BackendUnavailable, IncompatibleError: an engine that is absent or cannot run a variant.
    """
    with contextlib.ExitStack() as stack:
        calls: dict[str, Callable[[], object]] = {}
        for run in runs:
            request = EngineRequest(
                precision=run.plan.execution,
                threads=threads,
                size=tensor.shape[-1],
                labels=labels,
            )
            backend = load_engine(run.plan.engine)(run.model, request, run.weights)
            stack.callback(backend.close)
            calls[run.plan.name] = _call(backend, tensor)
        if eager is not None:
            calls[EAGER] = stack.enter_context(eager_call(eager, tensor, threads))
        report = stack.enter_context(reporting("rounds of timing"))
        return measure_latency(calls, reference, plan, progress=report)


def _call(backend: Backend, tensor: Float32Array) -> Callable[[], object]:
    return lambda: backend.infer(tensor)
