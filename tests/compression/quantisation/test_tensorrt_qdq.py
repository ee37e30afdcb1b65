"""Both spellings of the Q/DQ file compute one function; TensorRT's has no zero point."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from realmnet_compression.graphs.arithmetic import count_products
from realmnet_compression.quantisation.quantise import QuantiseSettings, quantise
from realmnet_compression.quantisation.tensorrt_qdq import spell_for_tensorrt
from realmnet_runtime.errors import ConfigurationError

Float32Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def spelt(small_int8: Path) -> onnx.ModelProto:
    model = spell_for_tensorrt(onnx.load(small_int8))
    onnx.checker.check_model(model, full_check=True)
    return model


def answers(
    model: onnx.ModelProto, pictures: list[Float32Array], names: list[str]
) -> list[list[Float32Array]]:
    """Values of a graph by onnxruntime, which computes Q/DQ node by node."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    for name in names:
        watched.graph.output.append(
            onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(watched.SerializeToString(), options)
    return [session.run(["logits", *names], {"image": picture}) for picture in pictures]


def test_nothing_that_tensorrt_has_not_is_left(spelt: onnx.ModelProto) -> None:
    counts = Counter(node.op_type for node in spelt.graph.node)
    stored = {tensor.name: tensor for tensor in spelt.graph.initializer}
    kinds = {tensor.data_type for tensor in stored.values()}

    assert not {TensorProto.UINT8, TensorProto.INT32} & (kinds - {stored["index"].data_type})
    assert counts["Cast"] == 0
    for node in spelt.graph.node:
        if node.op_type in {"QuantizeLinear", "DequantizeLinear"}:
            zero = stored[node.input[2]]
            assert zero.data_type == TensorProto.INT8
            assert not numpy_helper.to_array(zero).any()
    assert count_products(spelt) == {"fp32": 4, "int8": 3}


def test_codes_and_scales_of_weights_are_the_same(small_int8: Path, spelt: onnx.ModelProto) -> None:
    before, after = (
        {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        for model in (onnx.load(small_int8), spelt)
    )
    codes = [name for name in before if name.endswith("weight/codes")]

    assert len(codes) == 4
    for name in codes:
        np.testing.assert_array_equal(after[name], before[name])


def test_every_product_answers_as_before(
    small_int8: Path, spelt: onnx.ModelProto, small_tensors: list[Float32Array]
) -> None:
    """Behind each product: a code may differ where a value lies on a rounding edge, nowhere else.

    `a` is the convolution that pads, `n` and `u` are linear products with their bias.
    """
    names = ["a", "n", "u"]
    portable = answers(onnx.load(small_int8), small_tensors, names)
    found = answers(spelt, small_tensors, names)

    for before, after in zip(portable, found, strict=True):
        for name, expected, got in zip(["logits", *names], before, after, strict=True):
            off = np.abs(got - expected) > 1e-4 * np.abs(expected).max()
            assert off.mean() < 0.01, name
            np.testing.assert_allclose(got, expected, rtol=0, atol=0.02 * np.abs(expected).max())


def test_a_trained_network_answers_as_before(
    exported: Path, tensors: list[Float32Array], tmp_path: Path
) -> None:
    path = tmp_path / "int8.onnx"
    quantise(exported, path, tensors[:6], settings=QuantiseSettings(threads=1))
    portable = onnx.load(path)
    exact, before, after = (
        np.concatenate([answer[0] for answer in answers(model, tensors[12:18], [])])
        for model in (onnx.load(exported), portable, spell_for_tensorrt(portable))
    )
    lost = np.abs(before - exact).mean()

    # rounding edges only: far less than rounding to INT8 itself cost
    assert np.abs(after - before).mean() < 0.02 * exact.std(axis=0).mean()
    assert np.abs(after - exact).mean() < 1.5 * lost


def test_a_file_without_qdq_comes_back_as_it_is(small_file: Path) -> None:
    model = onnx.load(small_file)

    assert spell_for_tensorrt(model).SerializeToString(deterministic=True) == (
        model.SerializeToString(deterministic=True)
    )


def test_a_product_without_bias_gets_one(
    small_int8: Path, small_tensors: list[Float32Array]
) -> None:
    model = onnx.load(small_int8)
    addition = next(node for node in model.graph.node if node.name == "fc2/Add")
    product = next(node for node in model.graph.node if node.name == "fc2/MatMul")
    product.output[0] = addition.output[0]
    model.graph.node.remove(addition)

    before = answers(model, small_tensors, ["u"])
    after = answers(spell_for_tensorrt(model), small_tensors, ["u"])

    for expected, got in zip(before, after, strict=True):
        np.testing.assert_allclose(got[1], expected[1], atol=0.02 * np.abs(expected[1]).max())


def test_a_reader_that_cannot_take_the_shift_is_named(small_int8: Path) -> None:
    model = onnx.load(small_int8)
    reader = next(node for node in model.graph.node if node.name == "skip/Add")
    reader.input[0] = "s/dequantised"

    with pytest.raises(ConfigurationError, match="'skip/Add' reads an activation with a zero"):
        spell_for_tensorrt(model)
