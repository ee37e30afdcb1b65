"""The products of a network that can be quantised: convolutions and matrix products by weights."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from realmnet_compression.graphs.graph import consumers, initialisers

HEAD: Final = "head/"
"""Products of the classification head stay FP32: they are few, and every logit is their sum."""

Kind = Literal["convolution", "depthwise", "linear"]


class Product(msgspec.Struct, frozen=True):
    """One product of an activation by constant weights.

    Attributes:
        name: of the node, `<module path>/<operator>`.
        kind: `depthwise` has one input channel per group.
        activation: value it reads.
        weight: initialiser it multiplies by: (out, in / groups, kh, kw) or (in, out).
        bias: initialiser added to its output, (out,), or None.
        output: value it makes, before the bias of a linear product is added.
        out_axis: axis of `weight` that runs over output channels.
    """

    name: str
    kind: Kind
    activation: str
    weight: str
    bias: str | None
    output: str
    out_axis: int

    @property
    def channel_axis(self) -> int:
        """Axis of the activation over which the product sums."""
        return -1 if self.kind == "linear" else 1


def find_products(graph: onnx.GraphProto) -> list[Product]:
    """All products by constant weights outside the head, in the order they run."""
    tensors = initialisers(graph)
    readers = consumers(graph)
    found = []
    for node in graph.node:
        if node.name.startswith(HEAD) or len(node.input) < 2 or node.input[1] not in tensors:
            continue
        if node.op_type == "MatMul" and len(tensors[node.input[1]].dims) == 2:
            bias = _added_bias(readers.get(node.output[0], []), node.output[0], tensors)
            found.append(_product(node, "linear", bias, 1))
        elif node.op_type == "Conv":
            narrow = tensors[node.input[1]].dims[1] == 1 and tensors[node.input[1]].dims[0] > 1
            bias = node.input[2] if len(node.input) > 2 else None
            found.append(_product(node, "depthwise" if narrow else "convolution", bias, 0))
    return found


def weight_values(tensor: onnx.TensorProto) -> npt.NDArray[np.float32]:
    """A writable FP32 copy of a weight."""
    return np.array(numpy_helper.to_array(tensor), np.float32)


def _product(node: onnx.NodeProto, kind: Kind, bias: str | None, out_axis: int) -> Product:
    return Product(
        name=node.name,
        kind=kind,
        activation=node.input[0],
        weight=node.input[1],
        bias=bias,
        output=node.output[0],
        out_axis=out_axis,
    )


def _added_bias(
    readers: list[onnx.NodeProto], output: str, tensors: dict[str, onnx.TensorProto]
) -> str | None:
    if len(readers) != 1 or readers[0].op_type != "Add":
        return None
    others = [name for name in readers[0].input if name != output]
    return others[0] if len(others) == 1 and others[0] in tensors else None
