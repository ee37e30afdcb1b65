"""Writing INT8 into a graph so that both engines fuse it into integer products.

Weights become INT8 initialisers, symmetric and per output channel; activations pass through one
pair of QuantizeLinear and DequantizeLinear, unsigned and per tensor, shared by all products that
read them. Two spellings matter for speed and were found by reading the engines' fused graphs:

* A linear product keeps its bias as INT32 behind a DequantizeLinear. onnxruntime merges MatMul and
  bias into one Gemm before it looks for Q/DQ, and a Gemm with an FP32 bias stays FP32.
* A convolution's weight is spelt Cast and Mul instead of DequantizeLinear. onnxruntime folds that
  at load and then lays its FP32 convolutions out in blocks (a DequantizeLinear is never folded:
  twice the time); OpenVINO reads the same two nodes as a quantised weight and, where the
  activation is quantised, computes in INT8.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from realmnet_compression.graphs.graph import (
    initialisers,
    producers,
    remove_unused,
    replace,
    to_tensor,
)
from realmnet_compression.quantisation.activations import Range
from realmnet_compression.quantisation.products import Product, weight_values

LARGEST_CODE: Final = 127
_INT32: Final = np.iinfo(np.int32)


def quantise_weight(
    weight: npt.NDArray[np.float32], out_axis: int
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Symmetric INT8 codes and scales per output channel.

    Returns:
        Codes of the weight's shape in [-127, 127] and scales (out,) float32, above zero.
    """
    axes = tuple(axis for axis in range(weight.ndim) if axis != out_axis)
    largest = np.abs(weight).max(axis=axes)
    # subnormal scales would be flushed to zero by the engines
    scales = np.where(largest > 1e-30, largest / LARGEST_CODE, 1.0).astype(np.float32)
    codes = np.clip(np.rint(weight / _along(scales, weight.ndim, out_axis)), -127, 127)
    return codes.astype(np.int8), scales


def dequantise_weight(
    codes: npt.NDArray[np.int8], scales: npt.NDArray[np.float32], out_axis: int
) -> npt.NDArray[np.float32]:
    """Weights as the engines see them."""
    result: npt.NDArray[np.float32] = codes.astype(np.float32) * _along(
        scales, codes.ndim, out_axis
    )
    return result


def write_int8(
    model: onnx.ModelProto,
    products: Collection[Product],
    ranges: Mapping[str, Range],
) -> onnx.ModelProto:
    """A copy of a model with INT8 weights and, where a range is given, INT8 activations.

    Args:
        model: FP32.
        products: whose weights become INT8.
        ranges: by product name, the range of the activation it reads; a product without one reads
            the FP32 activation. Products that read one value must agree on its range.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    writer = _Writer(result, {product.name: product for product in products}, ranges)
    writer.write()
    return result


class _Writer:
    """One pass over the nodes, each preceded by the nodes that quantise what it reads."""

    def __init__(
        self,
        model: onnx.ModelProto,
        products: Mapping[str, Product],
        ranges: Mapping[str, Range],
    ) -> None:
        self._graph = model.graph
        self._products = products
        self._ranges = ranges
        self._tensors = initialisers(model.graph)
        self._makers = producers(model.graph)
        self._added: list[onnx.TensorProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._written: set[str] = set()

    def write(self) -> None:
        for node in self._graph.node:
            product = self._products.get(node.name)
            if product is not None:
                node.input[1] = self._weight(product)
                if product.name in self._ranges:
                    node.input[0] = self._activation(product.activation, self._ranges[product.name])
            elif node.op_type == "Add":
                self._bias(node)
            self._nodes.append(node)
        self._graph.initializer.extend(self._added)
        replace(self._graph.node, self._nodes)
        remove_unused(self._graph)

    def _weight(self, product: Product) -> str:
        name = product.weight
        output = f"{name}/dequantised"
        if not self._first(output):
            return output
        codes, scales = quantise_weight(weight_values(self._tensors[name]), product.out_axis)
        self._constant(f"{name}/codes", codes)
        if product.kind == "linear":
            self._constant(f"{name}/scales", scales)
            self._constant(f"{name}/zero_points", np.zeros(scales.shape, np.int8))
            self._node(
                "DequantizeLinear",
                [f"{name}/codes", f"{name}/scales", f"{name}/zero_points"],
                output,
                axis=product.out_axis,
            )
        else:
            self._constant(f"{name}/scales", _along(scales, codes.ndim, product.out_axis))
            self._node("Cast", [f"{name}/codes"], f"{name}/cast", to=onnx.TensorProto.FLOAT)
            self._node("Mul", [f"{name}/cast", f"{name}/scales"], output)
        return output

    def _activation(self, value: str, chosen: Range) -> str:
        output = f"{value}/dequantised"
        if self._first(output):
            self._constant(f"{value}/scale", np.float32(chosen.scale))
            self._constant(f"{value}/zero_point", np.uint8(chosen.zero_point))
            parameters = [f"{value}/scale", f"{value}/zero_point"]
            self._node("QuantizeLinear", [value, *parameters], f"{value}/quantised")
            self._node("DequantizeLinear", [f"{value}/quantised", *parameters], output)
        return output

    def _bias(self, addition: onnx.NodeProto) -> None:
        """Spell the bias of an INT8 linear product in its accumulator's INT32."""
        for position, name in enumerate(addition.input):
            maker = self._makers.get(addition.input[1 - position])
            product = self._products.get(maker.name) if maker is not None else None
            if product is None or product.bias != name or product.name not in self._ranges:
                continue
            _, scales = quantise_weight(
                weight_values(self._tensors[product.weight]), product.out_axis
            )
            scales = (scales * np.float32(self._ranges[product.name].scale)).astype(np.float32)
            bias = numpy_helper.to_array(self._tensors[name]).astype(np.float64).reshape(-1)
            codes = np.clip(np.rint(bias / scales), _INT32.min, _INT32.max).astype(np.int32)
            stem = f"{product.name}/bias"
            self._constant(f"{stem}/codes", codes)
            self._constant(f"{stem}/scales", scales)
            self._constant(f"{stem}/zero_points", np.zeros(scales.shape, np.int32))
            self._node(
                "DequantizeLinear",
                [f"{stem}/codes", f"{stem}/scales", f"{stem}/zero_points"],
                f"{stem}/dequantised",
                axis=0,
            )
            addition.input[position] = f"{stem}/dequantised"

    def _first(self, output: str) -> bool:
        new = output not in self._written
        self._written.add(output)
        return new

    def _constant(self, name: str, value: npt.ArrayLike) -> None:
        self._added.append(to_tensor(value, name))

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: int) -> None:
        node = onnx.helper.make_node(operator, inputs, [output], name=output)
        node.attribute.extend(
            onnx.helper.make_attribute(name, value) for name, value in attributes.items()
        )
        self._nodes.append(node)


def _along(scales: npt.NDArray[np.float32], ndim: int, axis: int) -> npt.NDArray[np.float32]:
    shape = [1] * ndim
    shape[axis] = -1
    return scales.reshape(shape)
