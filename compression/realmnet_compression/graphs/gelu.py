"""GELU in the one spelling that every engine knows as one kernel.

The exporter writes x * (0.5 * (1 + erf(x / sqrt 2))). onnxruntime fuses only the products taken
from the left, (x * (1 + erf(x / sqrt 2))) * 0.5; otherwise five passes over memory remain.
"""

from __future__ import annotations

import math

import numpy as np
import onnx

from realmnet_compression.graphs.graph import Constants, consumers, producers


def spell_gelu(model: onnx.ModelProto) -> int:
    """Reorder the products of every GELU in place.

    Returns:
        Number of GELUs reordered; an Erf that belongs to none is left alone.
    """
    constants = Constants(model)
    makers = producers(model.graph)
    readers = consumers(model.graph)
    reordered = 0
    for erf in [node for node in model.graph.node if node.op_type == "Erf"]:
        divided = makers.get(erf.input[0])
        added = _only_reader(readers, erf, "Add")
        halved = _only_reader(readers, added, "Mul")
        multiplied = _only_reader(readers, halved, "Mul")
        if divided is None or added is None or halved is None or multiplied is None:
            continue
        x = divided.input[0]
        half = _constant_input(constants, halved, 0.5)
        if (
            divided.op_type != "Div"
            or x not in multiplied.input
            or half is None
            or _constant_input(constants, added, 1.0) is None
            or _constant_input(constants, divided, math.sqrt(2.0)) is None
        ):
            continue
        halved.input[:] = [x, added.output[0]]
        multiplied.input[:] = [halved.output[0], half]
        reordered += 1
    return reordered


def _only_reader(
    readers: dict[str, list[onnx.NodeProto]], node: onnx.NodeProto | None, operator: str
) -> onnx.NodeProto | None:
    found = readers.get(node.output[0], []) if node is not None else []
    return found[0] if len(found) == 1 and found[0].op_type == operator else None


def _constant_input(constants: Constants, node: onnx.NodeProto, value: float) -> str | None:
    """The input that is this scalar, or None."""
    names: list[str] = list(node.input)
    for name in names:
        constant = constants.value(name)
        if constant is not None and constant.size == 1 and np.isclose(constant.item(), value):
            return name
    return None
