"""FP16 where it is safe: weights and most arithmetic; norms, softmax and the head stay FP32.

Sums of squares of a norm and exponentials of a softmax leave FP16's range, and every logit is a
sum over the head; those keep FP32 behind explicit Casts, so that a strongly typed engine computes
what the file says. Input and outputs stay float32, the file is a drop-in for the FP32 one.

Of a Q/DQ file the INT8 products stay, in TensorRT's spelling, and what was FP32 becomes FP16: a
file for TensorRT, whose attention would otherwise compute in FP32 beside INT8 products.

onnxruntime's own converter was tried and not used: it leaves the nodes unsorted, clips values
beyond FP16's range without a word, and computes what lies between two kept nodes in FP16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from realmnet_compression.export_onnx import OUTPUTS, probe_images, read_onnx
from realmnet_compression.graphs.graph import (
    consumers,
    initialisers,
    producers,
    remove_unused,
    replace,
    to_tensor,
)
from realmnet_compression.parity import tensor_errors
from realmnet_compression.quantisation.activations import watch
from realmnet_compression.quantisation.products import HEAD
from realmnet_compression.quantisation.tensorrt_qdq import spell_for_tensorrt
from realmnet_runtime.errors import ConfigurationError, GateFailed
from realmnet_runtime.files import write_atomically

KEPT_OPERATORS: Final = frozenset({"LayerNormalization", "Softmax"})
"""Operators that compute in FP32."""

HALF_TOLERANCE: Final = 0.01
"""Largest difference between FP16 and FP32 on probe pictures, as a share of the largest answer."""

INT8_HALF_TOLERANCE: Final = 0.05
"""The same for a Q/DQ file with and without FP16: FP16 moves values across rounding edges."""

_LARGEST: Final = float(np.finfo(np.float16).max)
_MOVES: Final = frozenset({"Reshape", "Transpose", "Split", "Slice", "Squeeze", "Unsqueeze"})
_QUANTISERS: Final = frozenset({"QuantizeLinear", "DequantizeLinear"})
_HALF_QUANTISERS: Final = (19, 9)
"""Opset that lets QuantizeLinear read FP16, and its file format."""
_SUFFIX: Final[dict[int, str]] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16"}


def write_half(onnx_path: str | Path, out_path: str | Path) -> Path:
    """Write the FP16 form of a file and prove it in onnxruntime.

    Args:
        onnx_path: FP32 file of `export_onnx`, or INT8 file of `quantise`.
        out_path: file to write; its directory must exist.

    Returns:
        `out_path`.

    Raises:
        MissingPath: there is no such file.
        ConfigurationError: no file of this toolkit, FP16 already, or a value beyond FP16's range.
        GateFailed: the answers differ by more than `HALF_TOLERANCE`, of an INT8 file
            `INT8_HALF_TOLERANCE`; nothing is written.
        OutputError: the file could not be written.
    """
    model, signature = read_onnx(onnx_path)
    half = to_half(model)
    onnx.checker.check_model(half, full_check=True)
    raw: bytes = half.SerializeToString(deterministic=True)
    tolerance = INT8_HALF_TOLERANCE if _is_quantised(model) else HALF_TOLERANCE
    _require_parity(model, half, signature.size, tolerance)
    write_atomically(Path(out_path), raw)
    return Path(out_path)


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model with weights and most arithmetic in FP16 where they were FP32.

    Args:
        model: FP32 or Q/DQ; input and outputs float32, which they stay.

    Raises:
        ConfigurationError: FP16 already, a Q/DQ model that has no spelling for TensorRT, or a
            tensor with a value that is not finite or beyond FP16's range (±65,504), named.
    """
    if any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer):
        raise ConfigurationError(
            "the file is FP16 already; FP16 is made from a file of `realmnet export` or "
            "`realmnet quantise`"
        )
    # INT32 biases have scales below FP16's range; the spelling has none
    result = spell_for_tensorrt(model)
    if _is_quantised(result):
        opset, ir_version = _HALF_QUANTISERS
        for entry in result.opset_import:
            entry.version = max(entry.version, opset)
        result.ir_version = max(result.ir_version, ir_version)
    _Writer(result, _float_values(result)).write()
    return result


def kept_nodes(graph: onnx.GraphProto) -> set[str]:
    """First outputs of the nodes that stay FP32.

    They are the norms, the softmaxes, the head with everything after it, and what only moves
    values from one of them to others: two casts would bring nothing there.
    """
    kept: set[str] = set()
    of_head: set[str] = set()
    for node in graph.node:
        after_head = node.name.startswith(HEAD) or not of_head.isdisjoint(node.input)
        if after_head:
            of_head.update(node.output)
        if after_head or node.op_type in KEPT_OPERATORS:
            kept.add(node.output[0])
    makers, readers = producers(graph), consumers(graph)
    for node in reversed(graph.node):
        maker = makers.get(node.input[0]) if node.input else None
        after = [reader for name in node.output for reader in readers.get(name, [])]
        if (
            node.op_type in _MOVES
            and maker is not None
            and maker.output[0] in kept
            and after
            and all(reader.output[0] in kept for reader in after)
        ):
            kept.add(node.output[0])
    return kept


class _Writer:
    """One pass over the nodes, each preceded by the casts of what it reads."""

    def __init__(self, model: onnx.ModelProto, floats: set[str]) -> None:
        self._graph = model.graph
        self._floats = floats
        self._kept = kept_nodes(model.graph)
        self._tensors = initialisers(model.graph)
        self._outputs = {output.name for output in model.graph.output}
        self._kinds: dict[str, int] = {}
        self._forms: dict[tuple[str, int], str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._added: list[onnx.TensorProto] = []

    def write(self) -> None:
        for node in self._graph.node:
            reads_floats = any(name in self._floats for name in node.input)
            # a node without a float input cannot be told to answer another type
            half = reads_floats and node.output[0] not in self._kept
            kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
            for position, name in enumerate(node.input):
                if name in self._floats:
                    node.input[position] = self._form(name, kind)
            self._nodes.append(node)
            self._kinds |= {name: kind for name in node.output if name in self._floats}
            if half:
                self._restore_outputs(node)
        self._graph.initializer.extend(self._added)
        replace(self._graph.node, self._nodes)
        remove_unused(self._graph)

    def _form(self, name: str, kind: int) -> str:
        """Name of a value in FP32 or FP16, made where it is not there yet."""
        if self._kinds.get(name, TensorProto.FLOAT) == kind:
            return name
        if (name, kind) not in self._forms:
            form = f"{name}/{_SUFFIX[kind]}"
            self._forms[name, kind] = form
            if name in self._tensors:
                self._added.append(to_tensor(_halved(self._tensors[name]), form))
            else:
                self._cast(name, form, kind)
        return self._forms[name, kind]

    def _restore_outputs(self, node: onnx.NodeProto) -> None:
        """Answer float32 where an FP16 node makes an output of the graph."""
        for position, name in enumerate(node.output):
            if name in self._outputs and name in self._floats:
                form = f"{name}/{_SUFFIX[TensorProto.FLOAT16]}"
                node.output[position] = form
                self._cast(form, name, TensorProto.FLOAT)
                self._kinds[name] = TensorProto.FLOAT
                self._forms[name, TensorProto.FLOAT16] = form

    def _cast(self, name: str, output: str, kind: int) -> None:
        self._nodes.append(onnx.helper.make_node("Cast", [name], [output], name=output, to=kind))


def _halved(tensor: onnx.TensorProto) -> npt.NDArray[np.float16]:
    values = numpy_helper.to_array(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= _LARGEST:
        raise ConfigurationError(
            f"tensor '{tensor.name}' holds {largest:g}, beyond FP16's {_LARGEST:g}; release the "
            "FP32 file, or train again with weight decay"
        )
    return values.astype(np.float16)


def _float_values(model: onnx.ModelProto) -> set[str]:
    """Names of all float32 values."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    typed = (*graph.value_info, *graph.input, *graph.output)
    names = {v.name for v in typed if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    return names | {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}


def _is_quantised(model: onnx.ModelProto) -> bool:
    return any(node.op_type in _QUANTISERS for node in model.graph.node)


def _require_parity(
    reference: onnx.ModelProto, half: onnx.ModelProto, size: int, tolerance: float
) -> None:
    images = probe_images(size)
    exact, found = (list(watch(model, OUTPUTS, images, 1)) for model in (reference, half))
    for name in OUTPUTS:
        expected, answered = (np.stack([a[name] for a in each]) for each in (exact, found))
        largest = tensor_errors(expected, answered).largest
        allowed = tolerance * float(np.abs(expected).max())
        if not largest <= allowed:
            raise GateFailed(
                f"FP16 differs by {largest:.2e} in '{name}' from the file it is made of; "
                f"{allowed:.2e} is allowed: release that file; nothing was written"
            )
