"""Laws of rounding: weights, ranges, biases, and one product against integers done by hand."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from realmnet_compression.quantisation.activations import Range, best_range, rounded, to_range
from realmnet_compression.quantisation.bias_correction import correct_biases, mean_output
from realmnet_compression.quantisation.products import Product, find_products
from realmnet_compression.quantisation.qdq import dequantise_weight, quantise_weight, write_int8

finite = st.floats(-100, 100, width=32)


@given(arrays(np.float32, (5, 4), elements=finite), st.sampled_from([0, 1]))
def test_a_weight_is_off_by_at_most_half_a_step(weight: np.ndarray, axis: int) -> None:
    codes, scales = quantise_weight(weight, axis)
    again = dequantise_weight(codes, scales, axis)
    steps = scales[:, None] if axis == 0 else scales[None, :]

    assert codes.min() >= -127
    assert (scales > 0).all()
    assert (np.abs(again - weight) <= steps * 0.5001 + 1e-30).all()


@given(st.floats(-50, 0), st.floats(0.001, 50))
def test_zero_is_exact_in_every_range(low: float, high: float) -> None:
    found = to_range(low, high)

    assert 0 <= found.zero_point <= 255
    assert rounded(np.zeros(1), found)[0] == 0.0


@given(arrays(np.float64, 64, elements=st.floats(0, 1000)), st.floats(-5, 0), st.floats(0.01, 5))
def test_the_best_range_loses_no_more_than_the_widest(
    counts: np.ndarray, low: float, high: float
) -> None:
    centres = low + (np.arange(64) + 0.5) * (high - low) / 64

    def lost(chosen: Range) -> float:
        return float(counts @ (rounded(centres, chosen) - centres) ** 2)

    assert lost(best_range(counts, low, high)) <= lost(to_range(low, high)) + 1e-9


def linear_model(weight: np.ndarray, bias: np.ndarray, rows: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["product"], name="layer/MatMul"),
            helper.make_node("Add", ["product", "b"], ["y"], name="layer/Add"),
        ],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, weight.shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, weight.shape[1]])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_one_product_equals_integers_done_by_hand() -> None:
    rng = np.random.default_rng(3)
    weight = rng.normal(size=(32, 8)).astype(np.float32)
    bias = rng.normal(size=8).astype(np.float32)
    x = rng.uniform(-1, 3, (6, 32)).astype(np.float32)
    chosen = to_range(-1.0, 3.0)
    model = linear_model(weight, bias, 6)
    products = find_products(model.graph)
    written = write_int8(model, products, {products[0].name: chosen})

    codes = np.clip(np.rint(x / np.float32(chosen.scale)) + chosen.zero_point, 0, 255)
    weights, scales = quantise_weight(weight, 1)
    steps = scales.astype(np.float64) * chosen.scale
    sums = (codes - chosen.zero_point).astype(np.int64) @ weights.astype(np.int64)
    expected = (sums + np.rint(bias / steps)) * steps

    session = onnxruntime.InferenceSession(
        written.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(session.run(None, {"x": x})[0], expected, atol=1e-5)


def test_corrected_biases_keep_the_mean_of_the_output() -> None:
    rng = np.random.default_rng(4)
    weight = rng.normal(size=(32, 8)).astype(np.float32)
    bias = rng.normal(size=8).astype(np.float32)
    x = rng.normal(2.0, 1.0, (500, 32))
    model = linear_model(weight, bias, 500)
    product = find_products(model.graph)[0]

    corrected = correct_biases(model, [product], {product.name: x.mean(axis=0)})

    found = {t.name: numpy_helper.to_array(t) for t in corrected.graph.initializer}["b"]
    rounded_weight = dequantise_weight(*quantise_weight(weight, 1), 1)
    np.testing.assert_allclose(
        (x @ rounded_weight + found).mean(axis=0), (x @ weight + bias).mean(axis=0), atol=1e-5
    )
    assert not np.allclose(found, bias, atol=1e-5)


def test_mean_of_a_convolution_over_a_flat_picture_is_exact() -> None:
    rng = np.random.default_rng(5)
    means = rng.normal(size=6)
    flat = torch.from_numpy(np.tile(means[None, :, None, None], (1, 1, 5, 5)))
    for kind, shape, groups in (("convolution", (4, 6, 3, 3), 1), ("depthwise", (6, 1, 3, 3), 6)):
        weight = rng.normal(size=shape)
        product = Product("p", kind, "x", "w", "b", "y", 0)  # type: ignore[arg-type]
        inner = functional.conv2d(flat, torch.from_numpy(weight), groups=groups)[0, :, 1, 1]
        np.testing.assert_allclose(mean_output(weight, product, means), inner.numpy())
