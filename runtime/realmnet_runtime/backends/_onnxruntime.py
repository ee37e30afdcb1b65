"""ONNX Runtime on the CPU.

Q/DQ files run in INT8 by default. Asked for FP32, the session is told to leave the Q/DQ pairs
unfused: weights are folded to FP32 once at load and every product is an FP32 one, for CPUs whose
INT8 arithmetic is slow or saturates. It is the same file either way.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
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
    refuse_weights,
)
from realmnet_runtime.backends._time_limit import out_of_time, time_limit
from realmnet_runtime.errors import IncompatibleError, UsageError

_PROVIDER: Final = "CPUExecutionProvider"
_SPINNING: Final = "session.intra_op.allow_spinning"
_UNFUSED: Final = "session.disable_quant_qdq"
_ERRORS_ONLY: Final = 3
_FATAL_ONLY: Final = 4

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

    def __init__(self, model: bytes, request: EngineRequest, weights: bytes = b"") -> None:
        refuse_weights("onnxruntime", weights)
        # For Windows wheels, and where the program imported it before it could be silenced.
        onnxruntime.disable_telemetry_events()
        self._size = request.size
        with contextlib.ExitStack() as stack:
            # A profile names the model's nodes: of one that may not reach a disk there is none.
            folder = None if request.in_memory else _temporary_folder(stack)
            session = _open_session(model, request, folder)
            check_signature(_shapes(session.get_inputs()), _shapes(session.get_outputs()), request)
            self._input: str = session.get_inputs()[0].name
            products = _executed_products(session, self._input, request.size) if folder else None
        self._facts = _facts(session, products, request)
        check_precision(self._facts, request)
        self._session: onnxruntime.InferenceSession | None = session

    @property
    def facts(self) -> EngineFacts:
        """What runs, as read back when the model was loaded."""
        return self._facts

    def infer(
        self, tensor: Float32Array, seconds: float | None = None
    ) -> tuple[Float32Array, Float32Array]:
        """Run the model once; see `Backend.infer`."""
        if self._session is None:
            raise UsageError("this onnxruntime backend is closed; open the predictor again")
        check_tensor(tensor, self._size)
        logits, score_maps = _run(self._session, {self._input: tensor}, seconds)
        return np.asarray(logits, np.float32), np.asarray(score_maps, np.float32)

    def close(self) -> None:
        """Free the model; closing twice does nothing."""
        self._session = None


def _run(
    session: onnxruntime.InferenceSession, inputs: dict[str, Float32Array], seconds: float | None
) -> Sequence[Any]:
    """Run a session, stopped at the next node where it takes longer than so many seconds."""
    wanted = [LOGITS, SCORE_MAPS]
    if seconds is None:
        answers: Sequence[Any] = session.run(wanted, inputs)
        return answers
    options = onnxruntime.RunOptions()
    # Else the library writes a line of its own on standard error for every run it stops.
    options.log_severity_level = _FATAL_ONLY
    with time_limit(seconds, lambda: setattr(options, "terminate", True)) as limit:
        try:
            answers = session.run(wanted, inputs, options)
        except Exception as error:
            # A stopped run raises its general error: only the flag tells it from a failed one.
            if limit.passed:
                raise out_of_time("onnxruntime") from error
            raise
    return answers


def _open_session(
    model: bytes, request: EngineRequest, profile: Path | None
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _ERRORS_ONLY
    # A pattern learnt from the first run has the next ones take a block of their own beside what
    # the first left: 60 MB more for the 21M, and no faster.
    options.enable_mem_pattern = False
    # Threads that spin between pictures take the cores from the camera's own software.
    options.add_session_config_entry(_SPINNING, "0")
    options.add_session_config_entry(_UNFUSED, "1" if request.precision == "fp32" else "0")
    # The profile of one run names the kernels that truly ran; settings only say what was asked.
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile / "kernels")
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


def _temporary_folder(stack: contextlib.ExitStack) -> Path | None:
    """A folder that goes with the stack; None where the device has no room for one."""
    try:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="realmnet-", ignore_cleanup_errors=True)
        )
    except OSError:
        return None
    return Path(folder)


def _executed_products(
    session: onnxruntime.InferenceSession, input_name: str, size: int
) -> dict[str, int] | None:
    """Count the products of one run by arithmetic; the run also warms the session up.

    Returns:
        Counts by precision; None where the profile could not be written, for example to a full
        disk, which must not keep a camera from answering.
    """
    session.run([LOGITS], {input_name: np.zeros((1, 3, size, size), np.float32)})
    try:
        events = msgspec.json.decode(Path(session.end_profiling()).read_bytes(), type=list[_Event])
    except (OSError, msgspec.DecodeError):
        return None
    counts: Counter[str] = Counter()
    for event in events:
        if event.cat != "Node" or event.args.op_name is None:
            continue
        if event.args.op_name in _INT8_PRODUCTS:
            counts["int8"] += 1
        elif event.args.op_name in _FLOAT_PRODUCTS:
            kind = next(iter(event.args.input_type_shape[0]))
            counts[_FLOAT_NAMES.get(kind, kind)] += 1
    return dict(sorted(counts.items()))


class _Arguments(msgspec.Struct):
    op_name: str | None = None
    input_type_shape: list[dict[str, list[int]]] = []


class _Event(msgspec.Struct):
    """What is needed of one line of a profile."""

    cat: str = ""
    args: _Arguments = msgspec.field(default_factory=_Arguments)


def _facts(
    session: onnxruntime.InferenceSession, products: dict[str, int] | None, request: EngineRequest
) -> EngineFacts:
    options = session.get_session_options()
    return EngineFacts(
        engine="onnxruntime",
        version=onnxruntime.__version__,
        precision=request.precision if products is None else executed_precision(products),
        precision_from="settings" if products is None else "kernels",
        threads=options.intra_op_num_threads,
        products=products or {},
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
