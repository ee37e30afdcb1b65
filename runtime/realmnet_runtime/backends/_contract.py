"""What every engine promises: two verbs, and facts read back from the engine itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from realmnet_runtime.bundles.manifest import Engine, Precision
from realmnet_runtime.errors import IncompatibleError, UsageError

LOGITS: Final = "logits"
SCORE_MAPS: Final = "score_maps"

Float32Array = npt.NDArray[np.float32]


class EngineRequest(msgspec.Struct, frozen=True):
    """How a model is to be run.

    Attributes:
        precision: the engine must compute in it; read back and refused where it differs.
        threads: most threads the engine may compute with, 1 or more.
        size: side of the square input, pixels.
        labels: number of labels the model must answer.
        in_memory: whether nothing of the model may reach a disk, not even its nodes' names.
    """

    precision: Precision
    threads: int
    size: int
    labels: int
    in_memory: bool = False


class EngineFacts(msgspec.Struct, frozen=True):
    """What an engine says of itself after it has loaded the model.

    Attributes:
        engine: its name in the manifest.
        version: of the installed library.
        precision: in which the products (convolutions, matrix products) are computed.
        precision_from: `kernels` where it was read off the kernels that run; `settings` where
            they could not be looked at (no room for a profile) and it is only what was asked.
        threads: as the engine reports them.
        products: number of convolutions and matrix products by arithmetic, for example
            `{"int8": 40, "fp32": 12}`: an INT8 variant may leave a few in FP32.
        settings: options that matter, as read back.
        prepared: whether the engine was given what `realmnet prepare` had it compile before.
    """

    engine: Engine
    version: str
    precision: str
    precision_from: Literal["kernels", "settings"]
    threads: int
    products: dict[str, int]
    settings: dict[str, str]
    prepared: bool = False


class Backend(Protocol):
    """One engine holding one model; used by one thread at a time."""

    @property
    def facts(self) -> EngineFacts:
        """What runs, as read back when the model was loaded."""
        ...

    def infer(
        self, tensor: Float32Array, seconds: float | None = None
    ) -> tuple[Float32Array, Float32Array]:
        """Run the model once.

        Args:
            tensor: (1, 3, S, S) float32, C-contiguous, as `realmnet_runtime.preprocess` makes it.
            seconds: most time it may take; None for as long as it takes. An engine that can be
                stopped is stopped between two of its layers; one that cannot runs to its end.

        Returns:
            Logits (1, L) float32 and score maps (1, L, h, w) float32, owned by the caller.

        Raises:
            UsageError: the tensor has another shape or type, or the backend is closed.
            DeadlineExceeded: the engine was stopped.
        """
        ...

    def close(self) -> None:
        """Free the model; closing twice does nothing."""
        ...


class BackendFactory(Protocol):
    """Loads a model: the constructor of an engine's class."""

    def __call__(self, model: bytes, request: EngineRequest, weights: bytes = b"") -> Backend:
        """Load `model`, with its second file where it has one, or raise IncompatibleError."""
        ...


class Preparer(Protocol):
    """An engine that can keep what it compiled, so that the next start need not compile."""

    def identity(self) -> dict[str, str]:
        """What of engine and device a compiled form depends on, besides the processor."""
        ...

    def prepare(
        self, model: bytes, request: EngineRequest, weights: bytes = b""
    ) -> tuple[Backend, bytes]:
        """Load a model as the engine's class does; return it with its compiled form.

        Raises:
            IncompatibleError: as the engine's class.
        """
        ...

    def restore(self, compiled: bytes | bytearray, request: EngineRequest) -> Backend:
        """Load a compiled form of the same engine, device and request.

        The engine executes what it is given: only verified bytes may come here. A `bytearray` may
        become the engine's own: nobody else may change it afterwards.

        Raises:
            IncompatibleError: the engine refuses it, or would run it otherwise than requested.
        """
        ...


Shape = tuple[int | None, ...]


def check_signature(
    inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], request: EngineRequest
) -> None:
    """Compare a model's inputs and outputs with what the manifest promises.

    Args:
        inputs: shape by name; None for a dimension that is not static.
        outputs: likewise.
        request: what the manifest says.

    Raises:
        IncompatibleError: another input size, label count or set of outputs.
    """
    expected = (1, 3, request.size, request.size)
    if list(inputs.values()) != [expected]:
        raise IncompatibleError(
            f"model takes {_in_words(inputs)}; its manifest says one input of shape {expected}; "
            f"release the bundle again"
        )
    if not {LOGITS, SCORE_MAPS} <= set(outputs):
        raise IncompatibleError(
            f"model answers {_in_words(outputs)}; '{LOGITS}' and '{SCORE_MAPS}' are needed; "
            f"export it again"
        )
    if outputs[LOGITS] != (1, request.labels):
        raise IncompatibleError(
            f"model answers logits of shape {outputs[LOGITS]}; its manifest lists "
            f"{request.labels} labels, so {(1, request.labels)}; release the bundle again"
        )
    maps = outputs[SCORE_MAPS]
    if len(maps) != 4 or maps[:2] != (1, request.labels):
        raise IncompatibleError(
            f"model answers score maps of shape {maps}; its manifest lists {request.labels} "
            f"labels, so (1, {request.labels}, h, w); release the bundle again"
        )


def check_precision(facts: EngineFacts, request: EngineRequest) -> None:
    """Refuse an engine that computes in another precision than the manifest promises.

    Raises:
        IncompatibleError: they differ.
    """
    if facts.precision != request.precision:
        computed = ", ".join(f"{count} in {name}" for name, count in facts.products.items())
        raise IncompatibleError(
            f"{facts.engine} {facts.version} computes in {facts.precision} (products: "
            f"{computed or 'none'}); the manifest promises {request.precision}; choose another "
            f"variant"
        )


def check_tensor(tensor: Float32Array, size: int) -> None:
    """Refuse a tensor that is not (1, 3, size, size) float32.

    Raises:
        UsageError: it is another.
    """
    if tensor.shape != (1, 3, size, size) or tensor.dtype != np.float32:
        raise UsageError(
            f"tensor is {tensor.shape} {tensor.dtype}; the model takes {(1, 3, size, size)} "
            f"float32; prepare it with realmnet_runtime.preprocess"
        )


def refuse_weights(engine: str, weights: bytes) -> None:
    """Refuse a second file, for engines whose models are one file.

    Raises:
        IncompatibleError: there is one.
    """
    if weights:
        raise IncompatibleError(
            f"{engine} was given a model of two files ({len(weights)} bytes of weights); it reads "
            f"one file: release the variant as ONNX or for openvino"
        )


def executed_precision(products: Mapping[str, int]) -> str:
    """Name the precision of an execution: `int8` where any product is, else the one that all have.

    A quantised model always leaves some products in floating point, so one INT8 product decides;
    a floating-point model must be all of one kind and is called `mixed` otherwise.
    """
    if products.get("int8", 0) > 0:
        return "int8"
    return next(iter(products), "none") if len(products) < 2 else "mixed"


def version_key(version: str) -> tuple[int, ...]:
    """Leading numbers of a version, for comparison: `2026.4.1-22982-e213` is (2026, 4, 1)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _in_words(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"'{name}' {shape}" for name, shape in shapes.items()) or "nothing"
