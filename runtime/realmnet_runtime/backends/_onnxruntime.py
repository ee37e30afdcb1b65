"""ONNX Runtime on the CPU.

Q/DQ files run in INT8 by default. Asked for FP32, the session is told to leave the Q/DQ pairs
unfused: weights are folded to FP32 once at load and every product is an FP32 one, for CPUs whose
INT8 arithmetic is slow or saturates. It is the same file either way.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from realmnet_runtime.backends._contract import (
    LOGITS,
    SCORE_MAPS,
    EngineFacts,
    EngineRequest,
    Float32Array,
    check_precision,
    check_signature,
    check_tensor,
    executed_precision,
)
from realmnet_runtime.errors import IncompatibleError, UsageError

_PROVIDER: Final = "CPUExecutionProvider"
_SPINNING: Final = "session.intra_op.allow_spinning"
_UNFUSED: Final = "session.disable_quant_qdq"
_ERRORS_ONLY: Final = 3

_INT8_PRODUCTS: Final = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "QAttention",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
    }
)
_FLOAT_PRODUCTS: Final = frozenset(
    {
        "Attention",
        "Conv",
        "ConvTranspose",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gemm",
        "MatMul",
        "MultiHeadAttention",
        "NhwcFusedConv",
    }
)
_FLOAT_NAMES: Final = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "double": "fp64"}


class OnnxRuntimeBackend:
    """A model in ONNX Runtime's CPU provider; see `Backend`."""

    def __init__(self, model: bytes, request: EngineRequest) -> None:
        # A no-op on Linux wheels, a switch on Windows ones: nothing leaves the device.
        onnxruntime.disable_telemetry_events()
        self._size = request.size
        with tempfile.TemporaryDirectory(prefix="realmnet-") as folder:
            session = _open_session(model, request, Path(folder) / "kernels")
            check_signature(_shapes(session.get_inputs()), _shapes(session.get_outputs()), request)
            self._input: str = session.get_inputs()[0].name
            products = _executed_products(session, self._input, request.size)
        self._facts = _facts(session, products)
        check_precision(self._facts, request)
        self._session: onnxruntime.InferenceSession | None = session

    @property
    def facts(self) -> EngineFacts:
        """What runs, as read back when the model was loaded."""
        return self._facts

    def infer(self, tensor: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Run the model once; see `Backend.infer`."""
        if self._session is None:
            raise UsageError("this onnxruntime backend is closed; open the predictor again")
        check_tensor(tensor, self._size)
        logits, score_maps = self._session.run([LOGITS, SCORE_MAPS], {self._input: tensor})
        return logits, score_maps

    def close(self) -> None:
        """Free the model; closing twice does nothing."""
        self._session = None


def _open_session(
    model: bytes, request: EngineRequest, profile: Path
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    # Threads that spin between pictures take the cores from the camera's own software.
    options.add_session_config_entry(_SPINNING, "0")
    options.add_session_config_entry(_UNFUSED, "1" if request.precision == "fp32" else "0")
    # The profile of one run names the kernels that truly ran; settings only say what was asked.
    options.enable_profiling = True
    options.profile_file_prefix = str(profile)
    try:
        session = onnxruntime.InferenceSession(model, options, providers=[_PROVIDER])
    except Exception as error:
        # Its exceptions share no base but Exception; the digest has vouched for the bytes.
        raise IncompatibleError(
            f"onnxruntime {onnxruntime.__version__} cannot load the model: "
            f"{' '.join(str(error).split())}; use the engine version the bundle was made for"
        ) from error
    if session.get_providers() != [_PROVIDER]:
        raise IncompatibleError(
            f"onnxruntime runs on {', '.join(session.get_providers())}; {_PROVIDER} was asked for; "
            f"install the plain onnxruntime wheel"
        )
    return session


def _executed_products(
    session: onnxruntime.InferenceSession, input_name: str, size: int
) -> dict[str, int]:
    """Count the products of one run by arithmetic; the run also warms the session up."""
    session.run([LOGITS], {input_name: np.zeros((1, 3, size, size), np.float32)})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    counts: Counter[str] = Counter()
    for event in events:
        arguments = event.get("args", {})
        kernel = arguments.get("op_name")
        if event.get("cat") != "Node":
            continue
        if kernel in _INT8_PRODUCTS:
            counts["int8"] += 1
        elif kernel in _FLOAT_PRODUCTS:
            first_input = next(iter(arguments.get("input_type_shape", [])), {"float": []})
            kind = next(iter(first_input))
            counts[_FLOAT_NAMES.get(kind, kind)] += 1
    return dict(sorted(counts.items()))


def _facts(session: onnxruntime.InferenceSession, products: dict[str, int]) -> EngineFacts:
    options = session.get_session_options()
    return EngineFacts(
        engine="onnxruntime",
        version=onnxruntime.__version__,
        precision=executed_precision(products),
        threads=options.intra_op_num_threads,
        products=products,
        settings={
            "providers": ",".join(session.get_providers()),
            "inter_op_num_threads": str(options.inter_op_num_threads),
            "graph_optimization_level": options.graph_optimization_level.name,
            _SPINNING: options.get_session_config_entry(_SPINNING),
            _UNFUSED: options.get_session_config_entry(_UNFUSED),
        },
    )


def _shapes(values: Iterable[onnxruntime.NodeArg]) -> dict[str, tuple[int | None, ...]]:
    return {
        value.name: tuple(side if isinstance(side, int) else None for side in value.shape)
        for value in values
    }
