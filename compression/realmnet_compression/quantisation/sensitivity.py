"""Which quantised activations disturb the logits most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from realmnet_compression.quantisation.activations import Float32Array, Range, watch
from realmnet_compression.quantisation.products import Product
from realmnet_compression.quantisation.qdq import write_int8


def rank_by_disturbance(
    model: onnx.ModelProto,
    products: Sequence[Product],
    ranges: Mapping[str, Range],
    tensors: Sequence[Float32Array],
    threads: int,
) -> list[str]:
    """Names of the products with ranges, the most disturbing first.

    Each activation is quantised alone, with all weights rounded; what it adds to the logits is
    its mean squared disturbance. Disturbances of single layers add up well enough to be ranked,
    and a mean over logits needs far fewer pictures than a count of changed decisions.

    Args:
        model: FP32, biases corrected.
        products: whose weights are rounded.
        ranges: of the activations to rank, by product name.
        tensors: (1, 3, S, S) float32 each.
        threads: of the engine.
    """

    def logits(some: Mapping[str, Range]) -> Float32Array:
        found = watch(write_int8(model, products, some), ["logits"], tensors, threads)
        return np.concatenate([values["logits"] for values in found])

    undisturbed = logits({})
    disturbance = {
        name: float(np.square(logits({name: chosen}) - undisturbed).mean())
        for name, chosen in ranges.items()
    }
    return sorted(disturbance, key=lambda name: (-disturbance[name], name))
