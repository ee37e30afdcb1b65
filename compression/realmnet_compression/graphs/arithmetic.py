"""In which arithmetic a graph's products are typed, as a strongly typed engine computes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

import onnx
from onnx import TensorProto

from realmnet_compression.graphs.graph import producers
from realmnet_runtime.bundles.manifest import Precision
from realmnet_runtime.errors import ConfigurationError

_PRODUCTS: Final = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_NAMES: Final[dict[int, str]] = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16"}


def count_products(model: onnx.ModelProto) -> dict[str, int]:
    """Number of convolutions and matrix products by arithmetic: `int8`, `fp16` or `fp32`.

    A product of two dequantised values is an INT8 one; with one of them dequantised it computes
    in the other's type.

    Raises:
        ConfigurationError: a product whose type is not known, named.
    """
    graph = onnx.shape_inference.infer_shapes(model).graph
    makers = producers(graph)
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        kinds[value.name] = value.type.tensor_type.elem_type
    counts: Counter[str] = Counter()
    for node in graph.node:
        if node.op_type not in _PRODUCTS:
            continue
        before = [makers.get(name) for name in node.input[:2]]
        if all(maker is not None and maker.op_type == "DequantizeLinear" for maker in before):
            counts["int8"] += 1
        elif (name := _NAMES.get(kinds.get(node.output[0], 0))) is not None:
            counts[name] += 1
        else:
            raise ConfigurationError(
                f"{node.op_type} '{node.name}' computes in neither FP32 nor FP16; give a file of "
                "`realmnet export` or `realmnet quantise`"
            )
    return dict(sorted(counts.items()))


def typed_precision(products: Mapping[str, int]) -> Precision:
    """Name a network by its lowest arithmetic: a few products always stay higher."""
    if products.get("int8", 0):
        return "int8"
    return "fp16" if products.get("fp16", 0) else "fp32"
