"""OpenVINO IR: FP32 answers like its source, INT8 decides like it, tables stay tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from timm.models.tiny_vit import Attention
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from realmnet_compression.answers import RawAnswers, ask
from realmnet_compression.build_openvino import IrPrecision, OpenVinoReport, build_openvino
from realmnet_compression.export_onnx import as_exported
from realmnet_compression.graphs.openvino_graph import (
    PRODUCTS,
    graph_of_model,
    load_openvino,
    operators,
)
from realmnet_compression.openvino_files import IrFiles
from realmnet_compression.quantisation.nncf_post_training import (
    OF_ALL,
    OF_WORST_LABEL,
    PostTrainingSettings,
)
from realmnet_compression.quantisation.quantise import Check, QuantiseSettings, quantise
from realmnet_compression.quantisation.quantisers import (
    activation_quantisers,
    integer_products,
    multiply_adds,
    without,
    work_given_back,
)
from realmnet_runtime.bundles.manifest import Precision
from realmnet_runtime.errors import ConfigurationError, GateFailed, UsageError
from realmnet_training.model import RealMNet

if TYPE_CHECKING:
    import openvino

Float32Array = NDArray[np.float32]
Builder = Callable[[str, IrPrecision], OpenVinoReport]

ROUTES = ("torch", "onnx")
CALIBRATED = 8


@pytest.fixture(scope="session")
def sources(trained: RealMNet, exported: Path) -> dict[str, RealMNet | Path]:
    return {"torch": trained, "onnx": exported}


@pytest.fixture(scope="session")
def expected(exported: Path, tensors: list[Float32Array]) -> RawAnswers:
    """The FP32 ONNX file in ONNX Runtime: the oracle."""
    return ask(exported.read_bytes(), "onnxruntime", "fp32", tensors, labels=7, threads=1)


@pytest.fixture(scope="session")
def built(
    sources: dict[str, RealMNet | Path],
    tensors: list[Float32Array],
    tmp_path_factory: pytest.TempPathFactory,
) -> Builder:
    """Each IR made once, unchecked."""
    folder = tmp_path_factory.mktemp("openvino")
    made: dict[tuple[str, IrPrecision], OpenVinoReport] = {}

    def build(route: str, precision: IrPrecision) -> OpenVinoReport:
        if (route, precision) not in made:
            made[route, precision] = build_openvino(
                sources[route],
                folder / f"{route}-{precision}.xml",
                precision=precision,
                calibration=tensors[:CALIBRATED] if precision == "int8" else (),
                settings=PostTrainingSettings(threads=1) if precision == "int8" else None,
            )
        return made[route, precision]

    return build


def files_of(report: OpenVinoReport) -> IrFiles:
    return IrFiles(Path(report.model).read_bytes(), Path(report.weights).read_bytes())


def graph_of(files: IrFiles) -> openvino.Model:
    return load_openvino().Core().read_model(model=files.model, weights=files.weights)


def answers_of(files: IrFiles, precision: Precision, tensors: list[Float32Array]) -> RawAnswers:
    return ask(
        files.model,
        "openvino",
        precision,
        tensors,
        labels=7,
        threads=1,
        weights=files.weights,
    )


@pytest.mark.parametrize("route", ROUTES)
def test_fp32_answers_like_the_onnx_file(
    route: str,
    built: Builder,
    tensors: list[Float32Array],
    expected: RawAnswers,
) -> None:
    report = built(route, "fp32")
    assert report.largest_error <= 1e-4
    files = files_of(report)
    assert report.bytes == files.size
    found = answers_of(files, "fp32", tensors)
    np.testing.assert_allclose(found.logits, expected.logits, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.score_maps, expected.score_maps, rtol=0, atol=1e-4)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("route", ROUTES)
def test_position_tables_stay_tables(
    route: str,
    precision: IrPrecision,
    built: Builder,
    trained: RealMNet,
) -> None:
    graph = graph_of(files_of(built(route, precision)))
    constants = [
        node.get_data()
        for node in graph.get_ops()
        if node.get_type_name() == "Constant"
        and node.get_element_type() == load_openvino().Type.f32
    ]
    attentions = [module for module in trained.modules() if isinstance(module, Attention)]
    assert len(attentions) == 10
    for attention in attentions:
        table = attention.attention_biases.detach().numpy()
        index = attention.get_buffer("attention_bias_idxs").numpy()
        gathered = table[:, index]
        assert any(each.shape == table.shape and np.array_equal(each, table) for each in constants)
        assert not any(each.squeeze().shape == gathered.shape for each in constants)


@pytest.mark.parametrize("route", ROUTES)
def test_the_files_say_how_they_are_run(route: str, built: Builder) -> None:
    graph = graph_of(files_of(built(route, "int8")))
    assert {name for port in graph.inputs for name in port.get_names()} >= {"image"}
    assert list(graph.inputs[0].get_shape()) == [1, 3, 64, 64]
    assert "logits" in graph.outputs[0].get_names()
    assert "score_maps" in graph.outputs[1].get_names()
    assert graph.get_rt_info(["realmnet", "precision"]).value == "int8"
    assert graph.get_rt_info(["realmnet", "inference_precision"]).value == "f32"
    hint = ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"]
    assert graph.get_rt_info(hint).value == "0"


def test_the_same_model_gives_the_same_bytes(
    trained: RealMNet, built: Builder, tmp_path: Path
) -> None:
    again = build_openvino(trained, tmp_path / "again.xml")
    assert files_of(again) == files_of(built("torch", "fp32"))


@pytest.mark.parametrize("route", ROUTES)
def test_int8_is_int8_outside_the_head_and_close(
    route: str,
    built: Builder,
    tensors: list[Float32Array],
    expected: RawAnswers,
) -> None:
    report = built(route, "int8")
    assert report.quantisation is not None
    assert report.quantisation.given_back == ()
    assert len(report.quantisation.int8) >= 40
    assert not any(name.startswith("head") for name in report.quantisation.int8)
    assert any(name.startswith("head") for name in report.quantisation.weights_only)
    files = files_of(report)
    assert files.size < built(route, "fp32").bytes / 2.5
    unseen = slice(CALIBRATED, None)
    found = answers_of(files, "int8", tensors[unseen])
    spread = expected.logits.std(axis=0).mean()
    assert np.abs(found.logits - expected.logits[unseen]).mean() < 0.2 * spread


def test_products_are_named_by_module_and_depthwise_ones_are_int8(built: Builder) -> None:
    report = built("torch", "int8").quantisation
    assert report is not None
    assert all(name.startswith("backbone.") for name in report.int8)
    assert sum("GroupConvolution" in name for name in report.int8) == 15


def test_multiply_adds_are_those_torch_counts(trained: RealMNet) -> None:
    attention = "ScaledDotProductAttention"
    counted = Counter[bool]()
    for product in operators(graph_of_model(trained), PRODUCTS):
        counted[product.get_type_name() == attention] += multiply_adds(product)
    # fused attention is not counted by torch
    math = sdpa_kernel(SDPBackend.MATH)
    with FlopCounterMode(display=False) as counter, math, torch.no_grad(), as_exported(trained):
        trained(torch.zeros(1, 3, trained.image, trained.image))
    # as many as queries by keys are those of what they weigh
    assert counter.get_total_flops() == 2 * (counted[False] + 2 * counted[True])


def test_a_quantiser_stands_for_the_products_behind_it(built: Builder) -> None:
    graph = graph_of(files_of(built("torch", "int8")))
    work = work_given_back(graph)
    assert list(work) == activation_quantisers(graph)
    for name, products in work.items():
        lost = set(integer_products(graph)) - set(integer_products(without(graph, [name])))
        assert products > sum(
            multiply_adds(each)
            for each in operators(graph, PRODUCTS)
            if each.get_friendly_name() in lost
        )


@pytest.fixture(scope="session")
def fences(
    built: Builder,
    tensors: list[Float32Array],
    expected: RawAnswers,
) -> NDArray[np.float64]:
    """Thresholds that INT8 activations cross and rounded weights alone do not.

    So giving activations back can mend every flip, whatever the processor made of the training.
    """
    files = files_of(built("torch", "int8"))
    graph = graph_of(files)
    bare = without(graph, activation_quantisers(graph))
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = load_openvino().Core().compile_model(bare, "CPU", options)
    unseen = tensors[CALIBRATED:]
    of_weights = np.concatenate([np.array(compiled(tensor)["logits"]) for tensor in unseen])
    of_both = answers_of(files, "int8", unseen).logits.astype(np.float64)
    exact = expected.logits[CALIBRATED:].astype(np.float64)
    chosen = np.full(7, np.inf)
    for label in range(7):
        widest = 0.0
        for fence in ((exact + of_both) / 2)[:, label]:
            sides = exact[:, label] >= fence
            room = min(np.abs(each[:, label] - fence).min() for each in (exact, of_weights))
            held = ((of_weights[:, label] >= fence) == sides).all()
            if held and room > widest and ((of_both[:, label] >= fence) != sides).any():
                chosen[label], widest = fence, room
    return chosen


def test_layers_go_back_until_decisions_hold(
    trained: RealMNet,
    tensors: list[Float32Array],
    fences: NDArray[np.float64],
    built: Builder,
    tmp_path: Path,
) -> None:
    unchecked = built("torch", "int8").quantisation
    assert unchecked is not None
    check = Check(tensors[CALIBRATED:], fences)
    settings = PostTrainingSettings(
        threads=1, most_flips=0.01, most_flips_of_a_label=0.07, rounds=30, ranked_on=1
    )
    report = build_openvino(
        trained,
        tmp_path / "held.xml",
        precision="int8",
        calibration=tensors[:CALIBRATED],
        check=check,
        settings=settings,
    )
    found = report.quantisation
    assert found is not None
    assert found.flips[OF_ALL] <= 0.01
    assert found.flips[OF_WORST_LABEL] <= 0.07
    assert found.given_back
    assert set(found.given_back) | set(found.int8) == set(unchecked.int8)
    assert not set(found.given_back) & set(found.int8)
    files = files_of(report)
    assert integer_products(graph_of(files)) == list(found.int8)
    assert files.size <= built("torch", "int8").bytes
    decided = answers_of(files, "int8", tensors[CALIBRATED:]).logits >= fences
    exact = answers_of(files_of(built("torch", "fp32")), "fp32", tensors[CALIBRATED:])
    assert float((decided != (exact.logits >= fences)).mean()) == found.flips[OF_ALL]


def test_decisions_that_may_not_be_mended_stop_the_build(
    exported: Path,
    tensors: list[Float32Array],
    built: Builder,
    tmp_path: Path,
) -> None:
    exact = answers_of(files_of(built("onnx", "fp32")), "fp32", tensors[-1:]).logits[0]
    rounded = answers_of(files_of(built("onnx", "int8")), "int8", tensors[-1:]).logits[0]
    between = ((exact.astype(np.float64) + rounded) / 2).astype(np.float64)
    path = tmp_path / "int8.xml"
    with pytest.raises(GateFailed, match="decisions change"):
        build_openvino(
            exported,
            path,
            precision="int8",
            calibration=tensors[:CALIBRATED],
            check=Check(tensors[-1:], between),
            settings=PostTrainingSettings(threads=1, most_flips=1e-9, rounds=0),
        )
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_fp32_source_is_refused(
    exported: Path, tensors: list[Float32Array], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"must be named \*\.xml"):
        build_openvino(exported, tmp_path / "a.onnx")
    with pytest.raises(UsageError, match="fp32 or int8"):
        build_openvino(exported, tmp_path / "a.xml", precision="fp8")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no calibration pictures"):
        build_openvino(exported, tmp_path / "a.xml", precision="int8")
    with pytest.raises(UsageError, match="not quantised"):
        build_openvino(exported, tmp_path / "a.xml", calibration=tensors[:1])
    int8 = tmp_path / "int8.onnx"
    weights_only = QuantiseSettings(activations=(), threads=1)
    quantise(exported, int8, tensors[:1], settings=weights_only)
    with pytest.raises(ConfigurationError, match="quantised already"):
        build_openvino(int8, tmp_path / "a.xml")
    assert not (tmp_path / "a.xml").exists()
