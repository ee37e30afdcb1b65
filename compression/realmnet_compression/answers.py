"""What a model file answers in an engine, through the runtime's own back ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from realmnet_runtime.backends import EngineRequest, load_engine
from realmnet_runtime.bundles.manifest import Engine, Precision

Float32Array = npt.NDArray[np.float32]


class RawAnswers(msgspec.Struct, frozen=True):
    """Logits (N, L) and score maps (N, L, h, w) float32 of N pictures."""

    logits: Float32Array
    score_maps: Float32Array


def ask(
    model: bytes,
    engine: Engine,
    precision: Precision,
    tensors: Sequence[Float32Array],
    *,
    labels: int,
    threads: int,
    weights: bytes = b"",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> RawAnswers:
    """Run a model file over pictures one by one, as a camera does.

    Args:
        model: bytes of an ONNX file or an OpenVINO IR of ours.
        engine: which runs it.
        precision: in which it must compute.
        tensors: (1, 3, S, S) float32 each, at least one.
        labels: number of labels.
        threads: of the engine.
        weights: bytes of the second file of an IR.
        progress: told done and total.

    Raises:
        BackendUnavailable: the engine is not installed.
        IncompatibleError: the engine cannot run the file, or not in this precision.
    """
    size = tensors[0].shape[-1]
    request = EngineRequest(precision=precision, threads=threads, size=size, labels=labels)
    backend = load_engine(engine)(model, request, weights)
    try:
        logits, maps = [], []
        for done, tensor in enumerate(tensors, start=1):
            answer = backend.infer(tensor)
            logits.append(answer[0])
            maps.append(answer[1])
            progress(done, len(tensors))
    finally:
        backend.close()
    return RawAnswers(logits=np.concatenate(logits), score_maps=np.concatenate(maps))
