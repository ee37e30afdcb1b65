"""OpenVINO on the CPU.

The inference precision is always stated: left to itself the CPU plugin picks bfloat16 where the
CPU has it, which changes answers and, without AMX, is slower than FP32. Q/DQ files run in INT8 by
default; asked for FP32, the plugin's low-precision transformations are switched off, so that every
product is an FP32 one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from io import BytesIO
from typing import Final

import numpy as np
import openvino

from realmnet_runtime.backends._contract import (
    LOGITS,
    SCORE_MAPS,
    Backend,
    EngineFacts,
    EngineRequest,
    Float32Array,
    check_precision,
    check_signature,
    check_tensor,
    executed_precision,
)
from realmnet_runtime.backends._time_limit import out_of_time
from realmnet_runtime.errors import IncompatibleError, UsageError

_DEVICE: Final = "CPU"
_FLOAT_HINTS: Final = {"fp32": "f32", "int8": "f32", "fp16": "f16"}
# Accepted by the CPU plugin but absent from its list of supported properties: used only where an
# INT8 file is to be computed in FP32, and what it did is read off the compiled model's kernels.
_LOW_PRECISION: Final = "LP_TRANSFORMS_MODE"
_DYNAMIC_QUANTISATION: Final = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
_PRODUCTS: Final = frozenset(
    {"Convolution", "Deconvolution", "FullyConnected", "MatMul", "ScaledDotProductAttention"}
)
_KERNEL_NAMES: Final = {
    "f32": "fp32",
    "f16": "fp16",
    "bf16": "bf16",
    "i8": "int8",
    "u8": "int8",
}
_SETTINGS: Final = (
    "INFERENCE_PRECISION_HINT",
    "PERFORMANCE_HINT",
    "NUM_STREAMS",
    "INFERENCE_NUM_THREADS",
    "ENABLE_CPU_PINNING",
    "EXECUTION_DEVICES",
    _DYNAMIC_QUANTISATION,
)


class OpenVinoBackend:
    """A model in OpenVINO's CPU plugin, ONNX or an IR with its weights; see `Backend`."""

    def __init__(self, model: bytes, request: EngineRequest, weights: bytes = b"") -> None:
        compiled = _compile(model, weights, request)
        if request.precision != "int8" and "int8" in _compiled_products(compiled):
            compiled = _compile(model, weights, request, low_precision=False)
        self._use(compiled, request)

    def _use(
        self, compiled: openvino.CompiledModel, request: EngineRequest, *, prepared: bool = False
    ) -> None:
        check_signature(_shapes(compiled.inputs), _shapes(compiled.outputs), request)
        self._facts = _facts(compiled, prepared=prepared)
        check_precision(self._facts, request)
        self._size = request.size
        self._request: openvino.InferRequest | None = compiled.create_infer_request()

    @property
    def facts(self) -> EngineFacts:
        """What runs, as read back when the model was loaded."""
        return self._facts

    def infer(
        self, tensor: Float32Array, seconds: float | None = None
    ) -> tuple[Float32Array, Float32Array]:
        """Run the model once; see `Backend.infer`."""
        if self._request is None:
            raise UsageError("this openvino backend is closed; open the predictor again")
        check_tensor(tensor, self._size)
        # The request's output buffers are overwritten by the next call: copy them out.
        _run(self._request, {0: np.ascontiguousarray(tensor)}, seconds)
        return (
            np.array(self._request.get_tensor(LOGITS).data, np.float32),
            np.array(self._request.get_tensor(SCORE_MAPS).data, np.float32),
        )

    def close(self) -> None:
        """Free the model; closing twice does nothing."""
        self._request = None

    def compiled(self) -> bytes:
        """What the plugin compiled, for the same plugin on the same processor."""
        if self._request is None:
            raise UsageError("this openvino backend is closed; open the predictor again")
        stream: BytesIO = self._request.get_compiled_model().export_model()
        return stream.getvalue()


class RestoredOpenVinoBackend(OpenVinoBackend):
    """What `OpenVinoBackend.compiled` gave, without compiling it again."""

    def __init__(self, compiled: bytes | bytearray, request: EngineRequest) -> None:
        # What can be written to is shared with the plugin, which reads the weights where they lie:
        # otherwise a process needs the memory of the compiled form twice.
        shared = bytearray(compiled) if isinstance(compiled, bytes) else compiled
        try:
            model = _imported(shared, request)
        except (RuntimeError, ValueError) as error:
            raise IncompatibleError(
                f"openvino {_version()} refuses what was prepared: {_last_line(error)}; run "
                f"`realmnet prepare` again"
            ) from error
        self._use(model, request, prepared=True)
        # The plugin does not keep it, and must not outlive it.
        self._shared: bytearray | None = shared

    def close(self) -> None:
        """Free the model; closing twice does nothing."""
        super().close()
        self._shared = None


def _imported(compiled: bytearray, request: EngineRequest) -> openvino.CompiledModel:
    # The compiled form carries none of the options: without them the plugin would choose
    # bfloat16, pinned threads and as many as there are cores.
    options = _options(request)
    core = openvino.Core()
    tensor = openvino.Tensor(np.frombuffer(compiled, np.uint8), shared_memory=True)
    try:
        return core.import_model(tensor, _DEVICE, options)
    except TypeError:
        # Older releases take bytes alone, and copy what they need of them.
        return core.import_model(bytes(compiled), _DEVICE, options)


class OpenVinoPreparer:
    """Keeps what the CPU plugin compiled; see `Preparer`."""

    def identity(self) -> dict[str, str]:
        """The exact build: another one may lay out its blob otherwise."""
        return {"openvino": str(openvino.__version__), "device": _DEVICE}

    def prepare(
        self, model: bytes, request: EngineRequest, weights: bytes = b""
    ) -> tuple[Backend, bytes]:
        """See `Preparer.prepare`."""
        backend = OpenVinoBackend(model, request, weights)
        return backend, backend.compiled()

    def restore(self, compiled: bytes | bytearray, request: EngineRequest) -> Backend:
        """See `Preparer.restore`."""
        return RestoredOpenVinoBackend(compiled, request)


def _run(
    request: openvino.InferRequest, inputs: dict[int, Float32Array], seconds: float | None
) -> None:
    """Run a request, stopped at the next node where it takes longer than so many seconds."""
    if seconds is None:
        request.infer(inputs, share_inputs=True)
        return
    # Only a request that was started asynchronously listens to `cancel`.
    request.start_async(inputs, share_inputs=True)
    if request.wait_for(math.ceil(seconds * 1e3)):
        return
    request.cancel()
    try:
        request.wait()
    except RuntimeError as error:
        raise out_of_time("openvino") from error


def _options(request: EngineRequest) -> dict[str, str | int | bool]:
    return {
        "INFERENCE_PRECISION_HINT": _FLOAT_HINTS[request.precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": request.threads,
        # Pinned threads would fight with the camera's own software for the same cores.
        "ENABLE_CPU_PINNING": False,
        # Else products with INT8 weights and FP32 activations have their activations rounded to
        # INT8 at run time, by ranges nobody calibrated; no kernel's name tells.
        _DYNAMIC_QUANTISATION: 0,
    }


def _compile(
    model: bytes, weights: bytes, request: EngineRequest, *, low_precision: bool = True
) -> openvino.CompiledModel:
    options = _options(request)
    if not low_precision:
        options[_LOW_PRECISION] = "NO"
    core = openvino.Core()
    try:
        return core.compile_model(core.read_model(model=model, weights=weights), _DEVICE, options)
    except RuntimeError as error:
        raise IncompatibleError(
            f"openvino {_version()} cannot load the model: {_last_line(error)}; "
            f"use the engine version the bundle was made for"
        ) from error


def _facts(compiled: openvino.CompiledModel, *, prepared: bool) -> EngineFacts:
    products = _compiled_products(compiled)
    return EngineFacts(
        engine="openvino",
        version=_version(),
        precision=executed_precision(products),
        precision_from="kernels",
        threads=int(compiled.get_property("INFERENCE_NUM_THREADS")),
        products=products,
        settings={name: _in_words(compiled.get_property(name)) for name in _SETTINGS},
        prepared=prepared,
    )


def _compiled_products(compiled: openvino.CompiledModel) -> dict[str, int]:
    """Count the products of the compiled graph by the arithmetic of their kernels."""
    counts: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].astype(str) in _PRODUCTS:
            counts[_arithmetic(facts)] += 1
    return dict(sorted(counts.items()))


def _arithmetic(facts: openvino.RTMap) -> str:
    """Precision of a node by its kernel's name, such as `brgemm_avx512_f32`, where that tells.

    The node's own precision is that of its inputs: INT8 for compressed weights that the kernel
    expands and multiplies in FP32.
    """
    kernel = facts["primitiveType"].astype(str).rpartition("_")[2].lower()
    inputs = facts["runtimePrecision"].astype(str)
    return _KERNEL_NAMES.get(kernel) or _KERNEL_NAMES.get(inputs, str(inputs))


def _shapes(ports: Iterable[openvino.ConstOutput]) -> dict[str, tuple[int | None, ...]]:
    return {
        _name(port): tuple(
            side.get_length() if side.is_static else None for side in port.get_partial_shape()
        )
        for port in ports
    }


def _name(port: openvino.ConstOutput) -> str:
    """The promised one of a port's names: folding an operator away leaves several on one port."""
    names = set(port.get_names())
    return next((name for name in (LOGITS, SCORE_MAPS) if name in names), min(names, default="?"))


def _version() -> str:
    """Release number without the build's commit."""
    return str(openvino.__version__).split("-", maxsplit=1)[0]


def _in_words(value: object) -> str:
    if isinstance(value, openvino.Type):
        return str(value.to_string())
    return ",".join(value) if isinstance(value, list) else str(value)


def _last_line(error: Exception) -> str:
    """The sentence of an OpenVINO error: the lines before it are places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
