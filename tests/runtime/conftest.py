"""A model of three convolutions with the outputs of a real one, in FP32 and as a Q/DQ INT8 file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

SIZE = 64
LABELS = 7


@dataclass(frozen=True)
class TinyModel:
    """ONNX bytes with their input size and label count."""

    content: bytes
    size: int
    labels: int


def build_tiny_model(*, quantised: bool, size: int = SIZE, labels: int = LABELS) -> TinyModel:
    """Conv-Relu-Conv-Relu-1x1 Conv, mean plus 1.2 times maximum; Q/DQ pairs around each product."""
    onnx = pytest.importorskip("onnx", reason="test models are made with onnx, a test dependency")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    random = np.random.default_rng(7)
    kernels = {
        "first": random.normal(size=(8, 3, 3, 3)) * 0.4,
        "second": random.normal(size=(16, 8, 3, 3)) * 0.25,
        "head": random.normal(size=(labels, 16, 1, 1)) * 0.6,
    }
    nodes = []
    constants = [
        numpy_helper.from_array(np.array([2, 3], np.int64), "positions"),
        numpy_helper.from_array(np.array(1.2, np.float32), "lambda"),
    ]

    def pair(value: str, step: float) -> str:
        if not quantised:
            return value
        constants.append(numpy_helper.from_array(np.array(step, np.float32), f"{value}_step"))
        constants.append(numpy_helper.from_array(np.array(0, np.int8), f"{value}_zero"))
        scale = [f"{value}_step", f"{value}_zero"]
        nodes.append(helper.make_node("QuantizeLinear", [value, *scale], [f"{value}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{value}_q", *scale], [f"{value}_dq"]))
        return f"{value}_dq"

    def weight(name: str) -> str:
        kernel = kernels[name].astype(np.float32)
        if not quantised:
            constants.append(numpy_helper.from_array(kernel, f"{name}_weight"))
            return f"{name}_weight"
        step = np.float32(np.abs(kernel).max() / 127)
        stored = np.rint(kernel / step).astype(np.int8)
        constants.append(numpy_helper.from_array(stored, f"{name}_q"))
        constants.append(numpy_helper.from_array(step, f"{name}_step"))
        constants.append(numpy_helper.from_array(np.array(0, np.int8), f"{name}_zero"))
        inputs = [f"{name}_q", f"{name}_step", f"{name}_zero"]
        nodes.append(helper.make_node("DequantizeLinear", inputs, [f"{name}_weight"]))
        return f"{name}_weight"

    def convolution(value: str, name: str, step: float, out: str, **options: list[int]) -> None:
        inputs = [pair(value, step), weight(name)]
        nodes.append(helper.make_node("Conv", inputs, [out], **options))

    shrink = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    convolution("image", "first", 1.0 / 127, "a", **shrink)
    nodes.append(helper.make_node("Relu", [pair("a", 3.0 / 127)], ["b"]))
    convolution("b", "second", 3.0 / 127, "c", **shrink)
    nodes.append(helper.make_node("Relu", [pair("c", 4.0 / 127)], ["d"]))
    convolution("d", "head", 4.0 / 127, "maps")
    pooled = pair("maps", 6.0 / 127)
    nodes.append(helper.make_node("Identity", [pooled], ["score_maps"]))
    nodes.append(helper.make_node("ReduceMean", [pooled, "positions"], ["mean"], keepdims=0))
    nodes.append(helper.make_node("ReduceMax", [pooled, "positions"], ["most"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["most", "lambda"], ["attention"]))
    nodes.append(helper.make_node("Add", ["mean", "attention"], ["logits"]))
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", kind, [1, 3, size, size])],
        [
            helper.make_tensor_value_info("logits", kind, [1, labels]),
            helper.make_tensor_value_info("score_maps", kind, [1, labels, size // 4, size // 4]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return TinyModel(model.SerializeToString(), size, labels)


@pytest.fixture(scope="session")
def tiny_fp32() -> TinyModel:
    return build_tiny_model(quantised=False)


@pytest.fixture(scope="session")
def tiny_int8() -> TinyModel:
    return build_tiny_model(quantised=True)
