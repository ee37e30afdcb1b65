"""The Q/DQ file in the spelling TensorRT takes: same codes, same ranges, same function.

TensorRT knows signed codes without a zero point, and dequantises constants through
DequantizeLinear only. The portable file (`qdq`) has unsigned activations with a zero point, some
weights behind Cast and Mul, and biases in INT32. Nothing is quantised anew here, it is spelt anew:

* An activation with scale s and zero point z becomes signed with zero point 0 by adding
  c = s (z - 128) to it first: rounding gives the same codes less 128. A symmetric range instead
  would waste up to one of the eight bits on values that are hardly ever negative, such as GELU's.
* The product of c by the weights is a constant, which its bias takes back.
* A convolution that pads would now pad with the wrong value: padding becomes a node before
  QuantizeLinear, with c.
* Biases become FP32: TensorRT's accumulator is scaled before it adds them.

The codes could differ only where a value lies on a rounding edge within FP32's own error.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto
from onnx.numpy_helper import to_array

from realmnet_compression.graphs.graph import (
    Constants,
    consumers,
    initialisers,
    producers,
    remove_unused,
    replace,
    to_tensor,
)
from realmnet_runtime.errors import ConfigurationError

UNSIGNED_OFFSET: Final = 128
"""An unsigned code less this is the signed code of the same value."""

Float32Array = npt.NDArray[np.float32]


def spell_for_tensorrt(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a Q/DQ model without zero points and with every constant behind DequantizeLinear.

    Args:
        model: as `write_int8` makes it; a model without Q/DQ comes back as it is.

    Raises:
        ConfigurationError: a node that reads an activation with a zero point and is no product by
            constant weights, named; or a convolution with automatic padding.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    _Writer(result).write()
    return result


class _Writer:
    """One pass over the nodes, each preceded by the nodes that it reads in the new spelling."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._constants = Constants(model)
        self._tensors = initialisers(model.graph)
        self._makers = producers(model.graph)
        self._readers = consumers(model.graph)
        self._added: list[onnx.TensorProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._written: set[str] = set()
        self._owed: dict[str, Float32Array] = {}

    def write(self) -> None:
        for node in list(self._graph.node):
            after: list[onnx.NodeProto] = []
            if node.op_type in {"Conv", "MatMul"}:
                after = self._product(node)
            elif node.op_type == "Add":
                self._bias(node)
            self._nodes += [node, *after]
        self._graph.initializer.extend(self._added)
        replace(self._graph.node, self._nodes)
        remove_unused(self._graph)
        self._require_symmetric()

    def _product(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Rewire a product; return the node that must follow it, if any."""
        weight = self._value(node.input[1])
        node.input[1] = self._weight(node.input[1])
        if node.op_type == "Conv" and len(node.input) > 2:
            node.input[2] = self._plain_bias(node.input[2])
        pair = self._makers.get(node.input[0])
        if weight is None or pair is None or pair.op_type != "DequantizeLinear":
            return []
        quantiser = self._makers.get(pair.input[0])
        if quantiser is None or quantiser.op_type != "QuantizeLinear":
            return []
        scale, shift = self._scale_and_shift(quantiser)
        if shift is None:
            return []
        pads = _take_pads(node) if node.op_type == "Conv" and shift else []
        node.input[0] = self._activation(quantiser.input[0], scale, shift, pads)
        owed = _constant_product(weight, node.op_type, shift)
        return self._settle(node, owed) if shift else []

    def _scale_and_shift(self, quantiser: onnx.NodeProto) -> tuple[float, float | None]:
        """Scale and c of an activation; c is None where it is spelt well already."""
        scale = self._value(quantiser.input[1])
        zero = self._value(quantiser.input[2]) if len(quantiser.input) > 2 else None
        if scale is None or scale.size != 1 or zero is None:
            return 0.0, None
        step = float(scale.item())
        if zero.dtype == np.int8 and not zero.any():
            return step, None
        code = int(zero.item()) - (UNSIGNED_OFFSET if zero.dtype == np.uint8 else 0)
        return step, float(np.float32(step * code))

    def _settle(self, node: onnx.NodeProto, owed: Float32Array) -> list[onnx.NodeProto]:
        """Let a product's bias take back what the shift added."""
        if node.op_type == "Conv":
            bias = self._value(node.input[2]) if len(node.input) > 2 else np.float32(0)
            if bias is None:
                raise _not_constant(node)
            settled = np.asarray(bias, np.float32) - owed
            name = self._constant(f"{node.output[0]}/bias", settled)
            del node.input[2:]
            node.input.append(name)
            return []
        readers = self._readers.get(node.output[0], [])
        if len(readers) == 1 and self._added_constant(readers[0], node.output[0]) is not None:
            self._owed[readers[0].output[0]] = owed
            return []
        output = node.output[0]
        node.output[0] = f"{output}/shifted"
        taken = self._constant(f"{output}/owed", -owed)
        return [onnx.helper.make_node("Add", [node.output[0], taken], [output], name=output)]

    def _bias(self, addition: onnx.NodeProto) -> None:
        owed = self._owed.get(addition.output[0])
        for position, name in enumerate(addition.input):
            maker = self._makers.get(name)
            value = self._value(name)
            if value is None:
                continue
            if owed is not None:
                value = value.astype(np.float32) - owed
            elif maker is None or not self._is_int32(maker):
                continue
            addition.input[position] = self._constant(f"{addition.output[0]}/bias", value)

    def _plain_bias(self, name: str) -> str:
        maker = self._makers.get(name)
        value = self._value(name)
        if maker is None or value is None or not self._is_int32(maker):
            return name
        return self._constant(f"{name}/fp32", value)

    def _value(self, name: str) -> npt.NDArray[np.generic] | None:
        """The constant behind a name, dequantised, or None where it depends on the input."""
        maker = self._makers.get(name)
        if maker is None or maker.op_type != "DequantizeLinear":
            return self._constants.value(name)
        codes, scales = (self._constants.value(read) for read in maker.input[:2])
        if codes is None or scales is None:
            return None
        axis = next((int(entry.i) for entry in maker.attribute if entry.name == "axis"), 1)
        shape = [1] * codes.ndim
        if scales.size > 1:
            shape[axis] = -1
        # biases are INT32 codes, more than FP32 holds exactly
        exact = codes.astype(np.float64) * scales.astype(np.float64).reshape(shape)
        return exact.astype(np.float32)

    def _is_int32(self, maker: onnx.NodeProto) -> bool:
        tensor = self._tensors.get(maker.input[0]) if maker.input else None
        return (
            maker.op_type == "DequantizeLinear"
            and tensor is not None
            and tensor.data_type == TensorProto.INT32
        )

    def _added_constant(self, node: onnx.NodeProto, output: str) -> str | None:
        others = [name for name in node.input if name != output]
        if node.op_type != "Add" or len(others) != 1:
            return None
        return others[0] if self._value(others[0]) is not None else None

    def _weight(self, name: str) -> str:
        """A weight spelt Cast and Mul, behind DequantizeLinear; others as they are."""
        multiplied = self._makers.get(name)
        cast = self._makers.get(multiplied.input[0]) if multiplied is not None else None
        codes = self._tensors.get(cast.input[0]) if cast is not None else None
        if (
            multiplied is None
            or multiplied.op_type != "Mul"
            or codes is None
            or codes.data_type != TensorProto.INT8
        ):
            return name
        scales = self._value(multiplied.input[1])
        if scales is None:
            return name
        output = f"{name}/spelt"
        if self._first(output):
            axis = int(np.argmax(scales.shape))
            inputs = [
                codes.name,
                self._constant(f"{name}/scales", scales.reshape(-1)),
                self._constant(f"{name}/zero_points", np.zeros(scales.size, np.int8)),
            ]
            self._node("DequantizeLinear", inputs, output, axis=axis)
        return output

    def _activation(self, value: str, scale: float, shift: float, pads: list[int]) -> str:
        stem = f"{value}/padded.{'_'.join(map(str, pads))}" if any(pads) else f"{value}/signed"
        output = f"{stem}/dequantised"
        if self._first(output):
            source = self._shifted(value, shift) if shift else value
            if any(pads):
                half = len(pads) // 2
                both = np.array([0, 0, *pads[:half], 0, 0, *pads[half:]], np.int64)
                fill = self._constant(f"{stem}/fill", np.float32(shift))
                self._node("Pad", [source, self._constant(f"{stem}/pads", both), fill], stem)
                source = stem
            parameters = [
                self._constant(f"{stem}/scale", np.float32(scale)),
                self._constant(f"{stem}/zero_point", np.int8(0)),
            ]
            self._node("QuantizeLinear", [source, *parameters], f"{stem}/quantised")
            self._node("DequantizeLinear", [f"{stem}/quantised", *parameters], output)
        return output

    def _shifted(self, value: str, shift: float) -> str:
        output = f"{value}/shifted"
        if self._first(output):
            added = self._constant(f"{value}/shift", np.float32(shift))
            self._node("Add", [value, added], output)
        return output

    def _require_symmetric(self) -> None:
        tensors = initialisers(self._graph)
        readers = consumers(self._graph)
        for node in self._graph.node:
            if node.op_type != "QuantizeLinear":
                continue
            zero = tensors.get(node.input[2]) if len(node.input) > 2 else None
            if zero is None or zero.data_type != TensorProto.INT8 or to_array(zero).any():
                pair = readers[node.output[0]][0]
                raise _not_constant(readers[pair.output[0]][0])

    def _first(self, output: str) -> bool:
        new = output not in self._written
        self._written.add(output)
        return new

    def _constant(self, name: str, value: npt.ArrayLike) -> str:
        self._added.append(to_tensor(value, name))
        return name

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: int) -> None:
        node = onnx.helper.make_node(operator, inputs, [output], name=output)
        node.attribute.extend(
            onnx.helper.make_attribute(name, value) for name, value in attributes.items()
        )
        self._nodes.append(node)


def _constant_product(
    weight: npt.NDArray[np.generic], operator: str, shift: float | None
) -> Float32Array:
    """Product of a constant activation c by weights: (out,) float32."""
    axes = (0,) if operator == "MatMul" else tuple(range(1, weight.ndim))
    sums = weight.astype(np.float64).sum(axis=axes)
    owed: Float32Array = (sums * (shift or 0.0)).astype(np.float32)
    return owed


def _take_pads(node: onnx.NodeProto) -> list[int]:
    """Padding of a convolution, which has none afterwards: begins, then ends, of each axis."""
    pads: list[int] = []
    for attribute in node.attribute:
        if attribute.name == "pads":
            pads = [int(side) for side in attribute.ints]
            attribute.ints[:] = [0] * len(pads)
        elif attribute.name == "auto_pad" and attribute.s not in {b"NOTSET", b"VALID"}:
            raise ConfigurationError(
                f"convolution '{node.name}' pads automatically ({attribute.s.decode()}); TensorRT "
                "files are made from files of `realmnet export`, whose padding is explicit"
            )
    return pads


def _not_constant(node: onnx.NodeProto) -> ConfigurationError:
    return ConfigurationError(
        f"{node.op_type} '{node.name}' reads an activation with a zero point, which TensorRT has "
        "not, and is no product by constant weights that could take it; quantise with "
        "`realmnet quantise`"
    )
