"""Biases that take back the mean error of rounded weights.

A rounded weight shifts the mean of its output by (W - Wq) E[x]; the shift is known from the mean
of the input channels and is subtracted from the bias at no cost (Nagel et al., Data-Free
Quantization Through Weight Equalization and Bias Correction, 2019, section 4.2). Borders of a
convolution are treated like its interior.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from realmnet_compression.graphs.graph import initialisers, to_tensor
from realmnet_compression.quantisation.activations import (
    ChannelStatistics,
    Float32Array,
    FloatArray,
    rows_of_channels,
    watch,
)
from realmnet_compression.quantisation.products import Product, weight_values
from realmnet_compression.quantisation.qdq import dequantise_weight, quantise_weight


def channel_means(
    model: onnx.ModelProto,
    products: Sequence[Product],
    tensors: Sequence[Float32Array],
    threads: int,
) -> dict[str, FloatArray]:
    """Mean of every input channel of every product over calibration pictures, by product name."""
    statistics = {product.name: ChannelStatistics() for product in products}
    names = [product.activation for product in products]
    for values in watch(model, names, tensors, threads):
        for product in products:
            rows = rows_of_channels(values[product.activation], product.channel_axis)
            statistics[product.name].add(rows)
    return {name: found.mean for name, found in statistics.items()}


def correct_biases(
    model: onnx.ModelProto, products: Sequence[Product], means: Mapping[str, FloatArray]
) -> onnx.ModelProto:
    """A copy of an FP32 model whose biases expect the weights to be rounded to INT8."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    tensors = initialisers(result.graph)
    for product in products:
        if product.bias is None:
            continue
        weight = weight_values(tensors[product.weight])
        codes, scales = quantise_weight(weight, product.out_axis)
        lost = weight.astype(np.float64) - dequantise_weight(codes, scales, product.out_axis)
        bias = tensors[product.bias]
        corrected = numpy_helper.to_array(bias) + mean_output(lost, product, means[product.name])
        bias.CopyFrom(to_tensor(corrected.astype(np.float32), product.bias))
    return result


def mean_output(weight: npt.NDArray[np.float64], product: Product, means: FloatArray) -> FloatArray:
    """Mean (out,) of a product's output for input channels of the given means."""
    if product.kind == "linear":
        linear: FloatArray = means @ weight
        return linear
    kernels = weight.sum(axis=(2, 3))
    if product.kind == "depthwise":
        depthwise: FloatArray = kernels[:, 0] * means
        return depthwise
    dense: FloatArray = kernels @ means
    return dense
