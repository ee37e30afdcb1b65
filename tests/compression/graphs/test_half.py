"""The FP16 file: what is in FP16, what is not, its size, and its answers against FP32."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from realmnet_compression.export_onnx import OUTPUTS, read_onnx
from realmnet_compression.graphs.arithmetic import count_products, typed_precision
from realmnet_compression.graphs.half import (
    HALF_TOLERANCE,
    INT8_HALF_TOLERANCE,
    to_half,
    write_half,
)
from realmnet_compression.quantisation.activations import watch
from realmnet_runtime.errors import ConfigurationError, GateFailed, OutputError

Float32Array = NDArray[np.float32]


@pytest.fixture(scope="module")
def half(small_file: Path) -> onnx.ModelProto:
    model = to_half(onnx.load(small_file))
    onnx.checker.check_model(model, full_check=True)
    return model


def element_types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def test_norms_softmax_and_head_are_fp32_and_all_other_arithmetic_is_not(
    half: onnx.ModelProto,
) -> None:
    types = element_types(half)
    for node in half.graph.node:
        if node.op_type == "Cast":
            continue
        kept = node.op_type in {"LayerNormalization", "Softmax"} or node.name.startswith("head/")
        expected = TensorProto.FLOAT if kept else TensorProto.FLOAT16
        floats = {types[name] for name in (*node.input, *node.output)} & {
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
        }
        assert floats == {expected}, node.name


def test_one_cast_a_value_and_none_undone_at_once(half: onnx.ModelProto) -> None:
    casts = [node for node in half.graph.node if node.op_type == "Cast"]
    made = {node.output[0]: node.input[0] for node in casts}

    assert len(set(made.values())) == len(casts)
    assert not set(made.values()) & set(made)


def test_the_position_table_stays_a_table(half: onnx.ModelProto, small_file: Path) -> None:
    (gather,) = (node for node in half.graph.node if node.op_type == "Gather")
    table = next(t for t in half.graph.initializer if t.name == gather.input[0])
    exact = next(t for t in onnx.load(small_file).graph.initializer if t.name == "table")

    assert table.data_type == TensorProto.FLOAT16
    np.testing.assert_array_equal(
        numpy_helper.to_array(table), numpy_helper.to_array(exact).astype(np.float16)
    )


def test_answers_are_those_of_fp32_within_the_stated_tolerance(
    exported: Path, tensors: list[Float32Array], tmp_path: Path
) -> None:
    path = write_half(exported, tmp_path / "fp16.onnx")
    exact, found = (
        list(watch(onnx.load(file), OUTPUTS, tensors[:8], 1)) for file in (exported, path)
    )

    for name in OUTPUTS:
        expected, answered = (np.stack([a[name] for a in each]) for each in (exact, found))
        allowed = HALF_TOLERANCE * np.abs(expected).max()
        np.testing.assert_allclose(answered, expected, rtol=0, atol=allowed)
        assert answered.dtype == np.float32
    # FP32 is left to norms and head, half of a 5M network's smallest parts
    assert path.stat().st_size < 0.51 * exported.stat().st_size
    model, signature = read_onnx(path)
    products = count_products(model)
    assert (signature.size, signature.labels) == (64, 7)
    assert products == {"fp16": 87, "fp32": 1}
    assert typed_precision(products) == "fp16"


def test_the_same_file_gives_the_same_bytes(small_file: Path, tmp_path: Path) -> None:
    first, again = (write_half(small_file, tmp_path / name) for name in ("a.onnx", "b.onnx"))

    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("value", [65520.0, -1e6, np.inf, np.nan])
def test_values_beyond_the_range_are_an_error_that_names_the_tensor(
    small_file: Path, value: float
) -> None:
    model = onnx.load(small_file)
    change(model, "fc1.weight", value)

    with pytest.raises(ConfigurationError, match=r"tensor 'fc1\.weight' holds .* 65504"):
        to_half(model)


def test_values_beyond_the_range_may_stay_in_the_head(small_file: Path) -> None:
    model = onnx.load(small_file)
    change(model, "head.weight", 70000.0)

    kept = next(t for t in to_half(model).graph.initializer if t.name == "head.weight")

    assert numpy_helper.to_array(kept).max() == 70000.0


def test_values_that_overflow_on_the_way_stop_the_writing(small_file: Path, tmp_path: Path) -> None:
    model = onnx.load(small_file)
    change(model, "fc1.bias", 60000.0)
    change(model, "fc2.weight", 60000.0)
    source, path = tmp_path / "fp32.onnx", tmp_path / "fp16.onnx"
    onnx.save(model, source)

    with pytest.raises(GateFailed, match="FP16 differs by"):
        write_half(source, path)

    assert not path.exists()


def test_of_a_quantised_file_the_rest_becomes_fp16(
    small_int8: Path, small_tensors: list[Float32Array], tmp_path: Path
) -> None:
    path = write_half(small_int8, tmp_path / "int8-fp16.onnx")
    model, _ = read_onnx(path)
    types = element_types(model)
    before, after = (
        np.stack([a["logits"] for a in watch(onnx.load(file), ["logits"], small_tensors, 1)])
        for file in (small_int8, path)
    )

    assert count_products(model) == {"fp16": 3, "fp32": 1, "int8": 3}
    for node in model.graph.node:
        if node.op_type == "QuantizeLinear":
            assert types[node.input[0]] == types[node.input[1]] == TensorProto.FLOAT16
    allowed = INT8_HALF_TOLERANCE * np.abs(before).max()
    np.testing.assert_allclose(after, before, rtol=0, atol=allowed)


def test_fp16_is_not_made_twice(half: onnx.ModelProto) -> None:
    with pytest.raises(ConfigurationError, match="FP16 already"):
        to_half(half)


def test_unwritable_output(small_file: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create the directory"):
        write_half(small_file, tmp_path / "absent" / "x.onnx")


def test_an_output_in_fp16_is_answered_in_fp32(small_file: Path) -> None:
    model = onnx.load(small_file)
    for node in model.graph.node:
        node.name = node.name.replace("head/", "tail/")

    types = element_types(to_half(model))

    assert types["logits"] == types["score_maps"] == TensorProto.FLOAT
    assert Counter(types.values())[TensorProto.FLOAT16] > 0


def change(model: onnx.ModelProto, name: str, value: float) -> None:
    """Set one element of an initialiser."""
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] = value
    tensor.CopyFrom(numpy_helper.from_array(values, name))
