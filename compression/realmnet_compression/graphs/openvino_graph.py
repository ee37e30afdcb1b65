"""OpenVINO graphs of a RealMNet: converted, named by module, position biases kept as tables."""

from __future__ import annotations

import importlib
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
import torch
from timm.models.tiny_vit import Attention
from torch import nn

from realmnet_compression.export_onnx import INPUT, OUTPUTS, PRODUCER, as_exported
from realmnet_runtime.backends import silence_openvino
from realmnet_runtime.errors import GateFailed
from realmnet_training.model import RealMNet

if TYPE_CHECKING:
    import openvino

TABLE: Final = "attention_biases"
"""Part of the names of position-bias tables, their indices and the gathers from them."""

PRODUCTS: Final = frozenset(
    {"Convolution", "GroupConvolution", "MatMul", "ScaledDotProductAttention"}
)
"""Operators that multiply and add."""

_TRACED: Final = "__module."
_NUMBER: Final = re.compile(r"([._]\d+)+$")
_PORTS: Final = frozenset({"Parameter", "Result"})
_MASK: Final = 3


def load_openvino() -> ModuleType:
    """Import OpenVINO, which reports nothing of its use."""
    silence_openvino()
    return importlib.import_module("openvino")


def graph_of_onnx(exported: onnx.ModelProto) -> openvino.Model:
    """The graph of a file that `export_onnx` wrote."""
    graph: openvino.Model = load_openvino().Core().read_model(model=exported.SerializeToString())
    name_layers(graph)
    return graph


def graph_of_model(model: RealMNet) -> openvino.Model:
    """The graph of a trained model by OpenVINO's own reader of PyTorch.

    Against the way through ONNX it keeps attention one operator, which the quantiser knows.

    Args:
        model: trained; its mode and its parameters are left as they were.

    Raises:
        GateFailed: the position-bias tables are not found in the graph.
    """
    library = load_openvino()
    shape = (1, 3, model.image, model.image)
    device = next(model.parameters()).device
    with as_exported(model), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph: openvino.Model = library.convert_model(
            model, example_input=torch.zeros(shape, device=device), input=[shape]
        )
    name_ports(graph)
    _fold_shapes(graph)
    name_layers(graph)
    keep_position_tables(graph, model)
    return graph


def name_ports(graph: openvino.Model) -> None:
    """Name input and outputs as an exported file has them, in place."""
    graph.inputs[0].get_tensor().set_names({INPUT})
    for port, name in zip(graph.outputs, OUTPUTS, strict=True):
        port.get_tensor().set_names({name})


def name_layers(graph: openvino.Model) -> None:
    """Name every node `<module path>/<operator>`, numbered where there are several, in place.

    Reports name layers by these words. The readers number what they make by a counter of the
    process, so that the same model would get other names, and other bytes, each time. A product
    into which a batch norm was folded has lost its module and is named after what follows it.
    """
    seen: Counter[str] = Counter()
    for node in graph.get_ordered_ops():
        if node.get_type_name() in _PORTS:
            continue
        stem = _stem(node)
        seen[stem] += 1
        node.set_friendly_name(stem if seen[stem] == 1 else f"{stem}.{seen[stem]}")
    graph.set_friendly_name(PRODUCER)
    for node, name in zip(graph.get_results(), OUTPUTS, strict=True):
        node.set_friendly_name(f"{name}/Result")


def _stem(node: openvino.Node) -> str:
    path, slash, operator = _module_and_operator(node)
    if slash:
        return f"{path}/{_NUMBER.sub('', operator)}"
    readers = node.output(0).get_target_inputs()
    if node.get_type_name() in PRODUCTS and len(readers) == 1:
        path, slash, _ = _module_and_operator(next(iter(readers)).get_node())
    return f"{path}{slash}{node.get_type_name()}"


def _module_and_operator(node: openvino.Node) -> tuple[str, str, str]:
    name: str = node.get_friendly_name()
    return name.removeprefix(_TRACED).rpartition("/")


def operators(graph: openvino.Model, kinds: frozenset[str]) -> Iterator[openvino.Node]:
    """Nodes of these operators, in the order they run."""
    return (node for node in graph.get_ordered_ops() if node.get_type_name() in kinds)


def source(node: openvino.Node, position: int) -> openvino.Node:
    """The node that makes an input of another."""
    made: openvino.Node = node.input(position).get_source_output().get_node()
    return made


def _fold_shapes(graph: openvino.Model) -> None:
    """Compute what depends on the static shape only: chunks, whose sizes the tracer works out."""
    passes = importlib.import_module("openvino.passes")
    manager = passes.Manager()
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(graph)


def keep_position_tables(graph: openvino.Model, model: nn.Module) -> None:
    """Put a gather from the table where the reader left the gathered biases of an attention.

    Gathered, those of 21M at 384 px are 98 MB beside 83 MB of weights.

    Args:
        graph: changed in place.
        model: of which the graph was converted; a RealMNet, with quantisers or without.

    Raises:
        GateFailed: an attention's biases are not where they are expected, or not the model's.
    """
    attentions = {
        name: module for name, module in model.named_modules() if isinstance(module, Attention)
    }
    sites = list(operators(graph, frozenset({"ScaledDotProductAttention"})))
    if len(sites) != len(attentions):
        raise GateFailed(
            f"{len(sites)} attentions in OpenVINO's graph, {len(attentions)} in the model; build "
            "it from the exported ONNX file instead"
        )
    operations = importlib.import_module("openvino.opset13")
    indices: dict[int, openvino.Node] = {}
    for site, (name, module) in zip(sites, attentions.items(), strict=True):
        table = module.attention_biases.detach().cpu().numpy()
        index = module.get_buffer("attention_bias_idxs").cpu().numpy()
        found = source(site, _MASK) if site.get_input_size() > _MASK else None
        if (
            found is None
            or found.get_type_name() != "Constant"
            or not np.array_equal(found.get_data().squeeze(), table[:, index].squeeze())
        ):
            raise GateFailed(
                f"the biases of '{name}' are not in OpenVINO's graph as the model has them; build "
                "it from the exported ONNX file instead"
            )
        positions = index.shape[0]
        if positions not in indices:
            indices[positions] = operations.constant(index.astype(np.int32))
            indices[positions].set_friendly_name(f"{TABLE}/index.{positions}")
        stored = operations.constant(np.ascontiguousarray(table))
        stored.set_friendly_name(f"{name}.{TABLE}/table")
        gathered = operations.gather(stored, indices[positions], operations.constant(np.int64(1)))
        gathered.set_friendly_name(f"{name}.{TABLE}/Gather")
        site.input(_MASK).replace_source_output(gathered.output(0))
    graph.validate_nodes_and_infer_types()
