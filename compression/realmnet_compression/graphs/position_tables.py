"""Position-bias tables stay tables in the exported graph.

A window attention holds one bias per head and absolute offset, and adds the biases gathered for
every pair of positions. The exporter gathers at export time, or spells the gather with indices of
three numbers per element: for 21M at 384 px that is 100 MB of constants beside 83 MB of weights.
Here the gathered biases are found in the graph, compared with the model's own, and put back as
`Gather(table (heads, offsets), index (positions, positions))`, with one index per window size.
"""

from __future__ import annotations

import numpy as np
import onnx
import torch
from timm.models.tiny_vit import Attention

from realmnet_compression.graphs.graph import (
    Constants,
    producers,
    remove_unused,
    replace,
    to_tensor,
)
from realmnet_runtime.errors import GateFailed


def keep_position_tables(model: onnx.ModelProto, source: torch.nn.Module) -> int:
    """Replace gathered position biases by a gather from their table, in place.

    Args:
        model: exported graph, attention spelt as MatMul, Add of the bias, Softmax, MatMul.
        source: the module it was exported from.

    Returns:
        Number of attentions rewritten.

    Raises:
        GateFailed: an attention of the module whose biases are not in the graph.
    """
    attentions = {
        name: module for name, module in source.named_modules() if isinstance(module, Attention)
    }
    graph = model.graph
    sites = _bias_additions(model)
    if len(sites) != len(attentions):
        raise GateFailed(
            f"{len(sites)} attentions in the exported graph, {len(attentions)} in the model; "
            "export with the pinned torch, or report the exporter's version"
        )
    gathers: dict[str, list[onnx.NodeProto]] = {}
    indices: dict[int, str] = {}
    tensors = list(graph.initializer)
    for (node, position, bias), (name, module) in zip(sites, attentions.items(), strict=True):
        table = module.attention_biases.detach().cpu().numpy()
        index = module.get_buffer("attention_bias_idxs").cpu().numpy()
        if not np.array_equal(bias.reshape(table.shape[0], *index.shape), table[:, index]):
            raise GateFailed(
                f"the biases of '{name}' differ from those in the exported graph; clear the "
                "model's caches (`model.train()`) and export again"
            )
        positions = index.shape[0]
        if positions not in indices:
            indices[positions] = f"position_index.{positions}"
            tensors.append(to_tensor(index.astype(np.int32), indices[positions]))
        tensors.append(to_tensor(table, f"{name}.attention_biases/table"))
        output = f"{name}.attention_biases/gathered"
        gathers[node.output[0]] = [
            onnx.helper.make_node(
                "Gather",
                [f"{name}.attention_biases/table", indices[positions]],
                [output],
                name=f"{name}.attention_biases/Gather",
                axis=1,
            )
        ]
        node.input[position] = output
    ordered = [each for node in graph.node for each in (*gathers.get(node.output[0], ()), node)]
    replace(graph.initializer, tensors)
    replace(graph.node, ordered)
    remove_unused(graph)
    return len(sites)


def _bias_additions(
    model: onnx.ModelProto,
) -> list[tuple[onnx.NodeProto, int, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]]:
    """Each Add between scores and Softmax: the node, which input is the bias, and its value."""
    constants = Constants(model)
    makers = producers(model.graph)
    found = []
    for node in model.graph.node:
        if node.op_type != "Softmax":
            continue
        addition = makers.get(node.input[0])
        if addition is None or addition.op_type != "Add":
            continue
        for position, name in enumerate(addition.input):
            value = constants.value(name)
            if value is not None:
                found.append((addition, position, value))
    return found
