"""Quantisers of activations in an OpenVINO graph: which there are, and taking some away."""

from __future__ import annotations

import importlib
import math
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from realmnet_compression.graphs.openvino_graph import PRODUCTS, operators, source

if TYPE_CHECKING:
    import openvino

SWITCHES: Final = "switches"

_QUANTISER: Final = frozenset({"FakeQuantize"})
_PASSING: Final = frozenset(
    {"Concat", "Gather", "MaxPool", "Reshape", "Slice", "Split", "Squeeze", "StridedSlice"}
    | {"Transpose", "Unsqueeze", "VariadicSplit"}
)
"""Operators that move numbers about: what is quantised before them is quantised after them."""

_OF_ATTENTION: Final = 2
"""Inputs of an attention that are multiplied first: queries and keys."""


def activation_quantisers(graph: openvino.Model) -> list[str]:
    """Names of the quantisers of activations, in the order they run."""
    return [
        node.get_friendly_name()
        for node in operators(graph, _QUANTISER)
        if not _is_constant(source(node, 0))
    ]


def work_given_back(graph: openvino.Model) -> dict[str, int]:
    """What computing in FP32 costs where a quantiser goes, by its name.

    Returns:
        Multiply-adds of the products that read what it rounds, and a unit for each of its values,
        which take four bytes then instead of one.
    """
    work: dict[str, int] = {}
    for node in operators(graph, _QUANTISER):
        if not _is_constant(source(node, 0)):
            products = {each.get_friendly_name(): each for each in _products_reading(node)}
            values = math.prod(node.get_output_shape(0))
            work[node.get_friendly_name()] = values + sum(map(multiply_adds, products.values()))
    return work


def without(graph: openvino.Model, names: Collection[str]) -> openvino.Model:
    """A copy in which these quantisers are gone: what they rounded stays as it is."""
    copy: openvino.Model = graph.clone()
    for node in list(operators(copy, _QUANTISER)):
        if node.get_friendly_name() in names:
            exact = node.input(0).get_source_output()
            for reader in node.output(0).get_target_inputs():
                reader.replace_source_output(exact)
    copy.validate_nodes_and_infer_types()
    return copy


def switchable(graph: openvino.Model, names: Sequence[str]) -> openvino.Model:
    """A copy with the input `switches` (N,) bool: which of these quantisers round, the others not.

    For comparing many choices with one compiled graph; it computes in FP32.
    """
    operations = importlib.import_module("openvino.opset13")
    copy: openvino.Model = graph.clone()
    switches = operations.parameter([len(names)], np.bool_)
    switches.output(0).get_tensor().set_names({SWITCHES})
    for node in list(operators(copy, _QUANTISER)):
        if node.get_friendly_name() in names:
            readers = node.output(0).get_target_inputs()
            place = operations.constant(np.int64(names.index(node.get_friendly_name())))
            switch = operations.gather(switches, place, operations.constant(np.int64(0)))
            exact = node.input(0).get_source_output()
            chosen = operations.select(switch, node.output(0), exact)
            for reader in readers:
                reader.replace_source_output(chosen.output(0))
    copy.add_parameters([switches])
    copy.validate_nodes_and_infer_types()
    return copy


def integer_products(graph: openvino.Model) -> list[str]:
    """Names of the products whose activations are all quantised, in the order they run."""
    return [
        node.get_friendly_name()
        for node in operators(graph, PRODUCTS)
        if all(_is_quantised(each) for each in _activations(node))
    ]


def other_products(graph: openvino.Model) -> list[str]:
    """Names of the products with an activation that is not quantised, in the order they run."""
    integer = set(integer_products(graph))
    names = [node.get_friendly_name() for node in operators(graph, PRODUCTS)]
    return [name for name in names if name not in integer]


def _products_reading(node: openvino.Node) -> Iterator[openvino.Node]:
    """Products that read a value, however it was moved about before."""
    for output in node.outputs():
        for reader in (each.get_node() for each in output.get_target_inputs()):
            if reader.get_type_name() in PRODUCTS:
                yield reader
            elif reader.get_type_name() in _PASSING:
                yield from _products_reading(reader)


def multiply_adds(product: openvino.Node) -> int:
    """Multiply-adds of a product; of an attention those of queries by keys alone."""
    first, second = (list[int](product.get_input_shape(place)) for place in range(2))
    made = list[int](product.get_output_shape(0))
    kind = product.get_type_name()
    if kind == "MatMul":
        depth = first[-2 if product.get_attributes()["transpose_a"] else -1]
        return math.prod(made) * depth
    if kind == "ScaledDotProductAttention":
        return math.prod(first) * second[-2]
    # weights are (out, in, h, w) or, in groups, (groups, out, in, h, w)
    window = second[2:] if kind == "GroupConvolution" else second[1:]
    return math.prod(made) * math.prod(window)


def _activations(product: openvino.Node) -> list[openvino.Node]:
    attention = product.get_type_name() == "ScaledDotProductAttention"
    count = _OF_ATTENTION if attention else 2
    return [
        made
        for made in (source(product, place) for place in range(count))
        if not _is_constant(made)
    ]


def _is_quantised(node: openvino.Node) -> bool:
    """Whether a value is a quantiser's, however it was moved about since."""
    while node.get_type_name() in _PASSING:
        node = source(node, 0)
    return node.get_type_name() in _QUANTISER


def _is_constant(node: openvino.Node) -> bool:
    """Whether a value depends on no input of the graph."""
    pending, seen = [node], set[str]()
    while pending:
        each = pending.pop()
        if each.get_friendly_name() in seen:
            continue
        seen.add(each.get_friendly_name())
        if each.get_type_name() == "Parameter":
            return False
        pending += [source(each, place) for place in range(each.get_input_size())]
    return True
