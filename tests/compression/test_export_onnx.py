"""The exported file: its graph, its size, its bytes, and its answers against torch."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from timm.models.tiny_vit import Attention

from realmnet_compression.answers import ask
from realmnet_compression.export_onnx import IR_VERSION, OPSET, export_onnx, read_onnx
from realmnet_compression.graphs.graph import static_shape
from realmnet_runtime.bundles.manifest import Engine
from realmnet_runtime.errors import ConfigurationError, GateFailed, MissingPath, OutputError
from realmnet_training.model import RealMNet

Float32Array = NDArray[np.float32]


def test_graph_keeps_what_was_promised(trained: RealMNet, exported: Path) -> None:
    graph = onnx.load(exported).graph
    counts = Counter(node.op_type for node in graph.node)
    modules = list(trained.modules())
    norms = sum(isinstance(module, torch.nn.LayerNorm) for module in modules)
    attentions = sum(isinstance(module, Attention) for module in modules)

    assert counts["LayerNormalization"] == norms == 21
    assert counts["BatchNormalization"] == 0
    assert counts["Gather"] == counts["Softmax"] - 1 == attentions == 10
    assert not {"Shape", "Expand", "GatherND", "Identity", "Cast"} & set(counts)
    assert all(node.domain == "" for node in graph.node)
    assert {entry.name: static_shape(entry) for entry in (*graph.input, *graph.output)} == {
        "image": (1, 3, 64, 64),
        "logits": (1, 7),
        "score_maps": (1, 7, 2, 2),
    }


def test_versions_are_those_of_one_onnx_release(exported: Path) -> None:
    assert [(entry.domain, entry.version) for entry in onnx.load(exported).opset_import] == [
        ("", OPSET)
    ]
    assert (
        onnx.load(exported).ir_version
        == IR_VERSION
        == helper.find_min_ir_version_for(onnx.load(exported).opset_import)
    )


def test_position_tables_are_stored_once_and_not_expanded(
    trained: RealMNet, exported: Path
) -> None:
    stored = sum(p.numel() for p in trained.parameters()) * 4
    names = {tensor.name for tensor in onnx.load(exported).graph.initializer}
    windows = {
        module.attention_bias_idxs.shape[0]
        for module in trained.modules()
        if isinstance(module, Attention)
    }
    indices = {name for name in names if name.startswith("position_index.")}

    assert indices == {f"position_index.{positions}" for positions in windows}
    assert exported.stat().st_size < stored + sum(4 * n * n for n in windows) + 200_000


def test_expanded_biases_of_a_large_window_are_rolled_up(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = RealMNet("5m", 256).eval()
    path = export_onnx(model, tmp_path / "large.onnx", engines=())
    stored = sum(p.numel() for p in model.parameters()) * 4
    expanded = sum(
        module.num_heads * module.attention_bias_idxs.numel() * 4
        for module in model.modules()
        if isinstance(module, Attention)
    )

    assert expanded > 4_000_000
    assert path.stat().st_size < stored + 700_000


def test_a_smaller_third_window_is_exported_with_its_tables(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = RealMNet("5m", 64, third_window=2)
    for parameter in (p for n, p in model.named_parameters() if n.endswith("attention_biases")):
        torch.nn.init.normal_(parameter)
    graph = onnx.load(export_onnx(model.eval(), tmp_path / "slim.onnx")).graph
    tables = [list(t.dims) for t in graph.initializer if t.name.endswith("/table")]

    # windows of 2 x 2 in every stage: four offsets a head
    assert sorted(tables) == sorted([[4, 4]] * 2 + [[5, 4]] * 6 + [[10, 4]] * 2)
    assert Counter(node.op_type for node in graph.node)["Gather"] == 10


def test_same_model_gives_the_same_bytes(trained: RealMNet, exported: Path, tmp_path: Path) -> None:
    again = export_onnx(trained, tmp_path / "again.onnx", engines=())

    assert again.read_bytes() == exported.read_bytes()


def test_a_warm_bias_cache_changes_nothing(
    trained: RealMNet, exported: Path, tmp_path: Path
) -> None:
    model = copy.deepcopy(trained)
    for module in model.modules():
        if isinstance(module, Attention):
            module.__class__ = Attention
    model.eval()
    model(torch.zeros(1, 3, 64, 64))
    assert any(getattr(module, "attention_bias_cache", None) for module in model.modules())

    warm = export_onnx(model, tmp_path / "warm.onnx", engines=("onnxruntime",))

    plain = exported.stat().st_size
    assert abs(warm.stat().st_size - plain) < 0.01 * plain
    assert Counter(n.op_type for n in onnx.load(warm).graph.node)["Gather"] == 10


def test_notes_of_the_exporting_machine_are_removed(exported: Path) -> None:
    raw = exported.read_bytes()

    assert b"site-packages" not in raw
    assert b".py" not in raw


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_is_left_alone(
    trained: RealMNet, tmp_path: Path, training: bool
) -> None:
    model = copy.deepcopy(trained).train(training)
    model.head.eval()
    before = {name: module.training for name, module in model.named_modules()}

    export_onnx(model, tmp_path / "mode.onnx", engines=())

    assert {name: module.training for name, module in model.named_modules()} == before


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_engines_answer_as_torch_does(
    trained: RealMNet, exported: Path, tensors: list[Float32Array], engine: Engine
) -> None:
    found = ask(exported.read_bytes(), engine, "fp32", tensors, labels=7, threads=1)
    with torch.no_grad():
        logits, maps = trained(torch.from_numpy(np.concatenate(tensors)))

    np.testing.assert_allclose(found.logits, logits.numpy(), atol=1e-4)
    np.testing.assert_allclose(found.score_maps, maps.numpy(), atol=1e-4)
    assert logits.std(dim=0).min() > 0.05


def test_an_engine_that_differs_stops_the_export(trained: RealMNet, tmp_path: Path) -> None:
    path = tmp_path / "differs.onnx"

    with pytest.raises(GateFailed, match="differs from torch by"):
        export_onnx(trained, path, tolerance=0.0)

    assert not path.exists()


def test_unwritable_output(trained: RealMNet, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create the directory"):
        export_onnx(trained, tmp_path / "absent" / "x.onnx", engines=())


def foreign_model(path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 8, 8])],
    )
    onnx.save(helper.make_model(graph), path)
    return path


def test_an_onnx_file_from_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="was not exported by realmnet"):
        read_onnx(foreign_model(tmp_path / "foreign.onnx"))


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("no network here")

    with pytest.raises(ConfigurationError, match="is no"):
        read_onnx(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="realmnet export"):
        read_onnx(tmp_path / "absent.onnx")
