"""Reading and rewriting ONNX graphs: who makes a value, which values are constant, tidy names."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

Array = npt.NDArray[np.generic]

_SCOPES: Final = "pkg.torch.onnx.name_scopes"


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    """The node that makes each value; graph inputs and initialisers have none."""
    return {output: node for node in graph.node for output in node.output if output}


def consumers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """The nodes that read each value, in graph order."""
    found: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in dict.fromkeys(node.input):
            if name:
                found[name].append(node)
    return found


def initialisers(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Constant tensors by name."""
    return {tensor.name: tensor for tensor in graph.initializer}


class Constants:
    """Values of a graph that do not depend on its inputs, computed when asked for."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._opsets = {entry.domain: entry.version for entry in model.opset_import}
        self._ir_version = model.ir_version
        self._tensors = initialisers(model.graph)
        self._producers = producers(model.graph)
        self._inputs = {entry.name for entry in model.graph.input}
        self._known: dict[str, Array | None] = {}

    def value(self, name: str) -> Array | None:
        """The constant behind a name, or None where it depends on an input of the graph."""
        if name not in self._known:
            self._known[name] = self._compute(name)
        return self._known[name]

    def _compute(self, name: str) -> Array | None:
        if name in self._tensors:
            return numpy_helper.to_array(self._tensors[name])
        node = self._producers.get(name)
        if node is None or name in self._inputs:
            return None
        feeds: dict[str, Array] = {}
        for read in node.input:
            value = self.value(read) if read else None
            if read and value is None:
                return None
            if value is not None:
                feeds[read] = value
        graph = onnx.helper.make_graph(
            [node],
            "constant",
            [onnx.helper.make_tensor_value_info(read, 0, None) for read in feeds],
            [onnx.helper.make_tensor_value_info(output, 0, None) for output in node.output],
        )
        model = onnx.helper.make_model(
            graph,
            opset_imports=[onnx.helper.make_opsetid(d, v) for d, v in self._opsets.items()],
            ir_version=self._ir_version,
        )
        answers = ReferenceEvaluator(model).run(None, feeds)
        self._known.update(zip(node.output, (np.asarray(a) for a in answers), strict=True))
        return self._known[name]


def remove_unused(graph: onnx.GraphProto) -> None:
    """Drop nodes and initialisers that no output of the graph depends on."""
    needed = {output.name for output in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    replace(graph.node, reversed(kept))
    replace(graph.initializer, tensors)


def replace(field: object, items: Iterable[object]) -> None:
    """Put other items into a repeated field of a protobuf message."""
    copies = list(items)
    del field[:]  # type: ignore[attr-defined]
    field.extend(copies)  # type: ignore[attr-defined]


def name_by_module(graph: onnx.GraphProto) -> None:
    """Name every node `<module path>/<operator>`, numbered where one module has several.

    The exporter knows from which module a node came; reports name layers by these words, and
    names that count nodes would change with the exporter's version.
    """
    seen: Counter[str] = Counter()
    for node in graph.node:
        stem = f"{_module_path(node)}/{node.op_type}"
        seen[stem] += 1
        node.name = stem if seen[stem] == 1 else f"{stem}.{seen[stem]}"


def _module_path(node: onnx.NodeProto) -> str:
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            scopes = [str(scope) for scope in ast.literal_eval(entry.value)]
            return max(scopes[:-1], key=len, default="")
    return ""


def strip_notes(model: onnx.ModelProto) -> None:
    """Remove stack traces and notes: they name the exporting machine's paths."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    model.doc_string = ""
    model.graph.doc_string = ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    for value in (*model.graph.input, *model.graph.output):
        del value.metadata_props[:]
        value.doc_string = ""


def static_shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    """Shape of a graph input or output, or None where a dimension is not static."""
    sides = value.type.tensor_type.shape.dim
    if any(not side.HasField("dim_value") for side in sides):
        return None
    return tuple(side.dim_value for side in sides)


def to_tensor(value: npt.ArrayLike, name: str) -> onnx.TensorProto:
    """A contiguous initialiser."""
    return numpy_helper.from_array(np.ascontiguousarray(value), name)
