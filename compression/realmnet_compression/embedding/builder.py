"""Nodes and constants of an ONNX graph, written down one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Attribute = int | list[int]


class GraphBuilder:
    """Collects nodes and constants under one prefix, so that they meet no other names.

    Attributes:
        nodes: in the order in which they were added, which is a valid one.
        constants: by name.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._counts: Counter[str] = Counter()
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def node(self, operator: str, *inputs: str, out: str = "", **attributes: Attribute) -> str:
        """Add a node of one output and return the output's name, `out` where it is given."""
        self._counts[operator] += 1
        name = f"{self._prefix}/{operator}.{self._counts[operator]}"
        answer = out or name
        node = onnx.helper.make_node(operator, list(inputs), [answer], name=name)
        node.attribute.extend(
            onnx.helper.make_attribute(key, value) for key, value in attributes.items()
        )
        self.nodes.append(node)
        return answer

    def constant(self, value: npt.NDArray[np.generic]) -> str:
        """The name of a constant of this value; equal ones are stored once."""
        for name, tensor in self.constants.items():
            kept = numpy_helper.to_array(tensor)
            if (
                kept.dtype == value.dtype
                and np.array_equal(kept, value)
                and kept.ndim == value.ndim
            ):
                return name
        name = f"{self._prefix}/constant.{len(self.constants) + 1}"
        self.constants[name] = numpy_helper.from_array(value, name)
        return name

    def loop(
        self,
        count: str,
        carried: tuple[str, str],
        turn: Callable[[GraphBuilder, str, str, str], tuple[str, str]],
    ) -> tuple[str, str]:
        """Add a loop over two values.

        Args:
            count: name of a scalar int64, how often.
            carried: names of the values at the start.
            turn: adds one turn's nodes to the builder it is given, whose nodes may read this
                one's values too; told the names of the turn's number from 0 on and of both
                values, it returns those of their successors.

        Returns:
            Names of the values at the end.
        """
        self._counts["Loop"] += 1
        name = f"{self._prefix}/Loop.{self._counts['Loop']}"
        body = GraphBuilder(name)
        number, going, *before = (f"{name}/{word}" for word in ("turn", "going", "a", "b"))
        after = turn(body, number, before[0], before[1])
        still = body.node("Identity", going)
        make = onnx.helper.make_tensor_value_info
        flag = onnx.TensorProto.BOOL
        graph = onnx.helper.make_graph(
            body.nodes,
            name,
            [
                make(number, onnx.TensorProto.INT64, []),
                make(going, flag, []),
                *(make(value, onnx.TensorProto.FLOAT, None) for value in before),
            ],
            [
                make(still, flag, []),
                *(make(value, onnx.TensorProto.FLOAT, None) for value in after),
            ],
            list(body.constants.values()),
        )
        results = [f"{name}/{word}" for word in ("first", "second")]
        always = self.constant(np.array(1, np.bool_))
        self.nodes.append(
            onnx.helper.make_node("Loop", [count, always, *carried], results, name, body=graph)
        )
        return results[0], results[1]

    def integers(self, *values: int) -> str:
        """A constant (N,) int64."""
        return self.constant(np.array(values, np.int64))

    def real(self, value: float) -> str:
        """A constant scalar float32."""
        return self.constant(np.array(value, np.float32))

    def as_real(self, name: str) -> str:
        """The value in float32."""
        return self.node("Cast", name, to=onnx.TensorProto.FLOAT)

    def as_integer(self, name: str) -> str:
        """The value in int64."""
        return self.node("Cast", name, to=onnx.TensorProto.INT64)
