"""The contract every engine passes, with onnx's reference evaluator as the oracle."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import pytest

from realmnet_runtime.backends import (
    AUTO_ORDER,
    ENGINES,
    PREPARERS,
    Backend,
    EngineRequest,
    installed_engines,
    load_engine,
    load_preparer,
    open_backend,
    restore_backend,
)
from realmnet_runtime.backends._cuda import find_device
from realmnet_runtime.backends._engine_key import engine_folder
from realmnet_runtime.errors import BackendUnavailable, IncompatibleError, UsageError


class Model(Protocol):
    content: bytes
    size: int
    labels: int


ROUTES = [("fp32", "fp32"), ("int8", "int8"), ("int8", "fp32")]


@pytest.fixture(params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name not in installed_engines():
        pytest.skip(f"{name} is not installed")
    if ENGINES[name].device:
        request.getfixturevalue("built_engines")
    return name


@pytest.fixture
def built_engines(
    request: pytest.FixtureRequest,
    models: dict[str, Model],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Engines of the tiny models for this machine's GPU, where the runtime looks for them."""
    try:
        load_engine("tensorrt")
    except BackendUnavailable as error:
        pytest.skip(f"tensorrt runs on an NVIDIA GPU only: {error}")
    # Not executed here, from here on: it needs an NVIDIA GPU.
    if request.node.originalname in OF_FILES:
        pytest.skip("its builder, not the runtime, meets such a file")
    route = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if route.get("stored", "") != route.get("computed", ""):
        pytest.skip("in a strongly typed engine the file decides the arithmetic")
    builder = pytest.importorskip("realmnet_compression.build_tensorrt")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine_folder().mkdir(parents=True)
    for name, model in models.items():
        (tmp_path / name).write_bytes(model.content)
        if ENGINES["tensorrt"].module == "tensorrt":
            builder.build_tensorrt(tmp_path / name)
        else:
            path = engine_folder() / f"{name}.engine"
            builder.build_ahead_of_time(tmp_path / name, path, find_device().compute_capability)


OF_FILES = frozenset(
    {
        "test_a_model_that_is_not_the_manifests_is_refused",
        "test_a_model_without_score_maps_is_refused",
        "test_a_dynamic_batch_is_refused",
        "test_bytes_that_are_no_model_are_refused_in_one_line",
        "test_activations_nobody_quantised_stay_as_they_are",
    }
)


def request_for(model: Model, precision: str, threads: int = 1) -> EngineRequest:
    return EngineRequest(
        precision=precision,  # type: ignore[arg-type]
        threads=threads,
        size=model.size,
        labels=model.labels,
    )


def tensors(count: int, size: int) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.random((1, 3, size, size), np.float32) for _ in range(count)]


class Ir(Protocol):
    content: bytes
    weights: bytes
    source: Model


@pytest.fixture
def models(tiny_fp32: Model, tiny_int8: Model) -> dict[str, Model]:
    return {"fp32": tiny_fp32, "int8": tiny_int8}


def reference(content: bytes, tensor: np.ndarray) -> list[np.ndarray]:
    onnx = pytest.importorskip("onnx")
    evaluator = pytest.importorskip("onnx.reference").ReferenceEvaluator(
        onnx.load_from_string(content)
    )
    return list(evaluator.run(["logits", "score_maps"], {"image": tensor}))


@pytest.mark.parametrize(("stored", "computed"), ROUTES)
def test_answers_as_the_reference_evaluator(
    engine: str, stored: str, computed: str, models: dict[str, Model]
) -> None:
    model = models[stored]
    backend = open_backend(engine, model.content, request_for(model, computed), "1.0")
    for tensor in tensors(3, model.size):
        logits, score_maps = backend.infer(tensor)
        expected_logits, expected_maps = reference(model.content, tensor)
        assert logits.dtype == score_maps.dtype == np.float32
        # One step of the last Q/DQ pair (6/127), met where a value lies on a rounding edge.
        allowed = 1e-4 if stored == "fp32" else 2.5 * 6 / 127
        np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=allowed)
        np.testing.assert_allclose(score_maps, expected_maps, rtol=0, atol=allowed)
        if stored == "int8":
            assert np.mean(np.abs(score_maps - expected_maps)) < 0.2 * 6 / 127
    backend.close()


@pytest.mark.parametrize(("stored", "computed"), ROUTES)
def test_facts_are_read_back(
    engine: str, stored: str, computed: str, models: dict[str, Model]
) -> None:
    model = models[stored]
    facts = open_backend(engine, model.content, request_for(model, computed), "1.0").facts
    assert facts.engine == engine
    assert facts.precision == computed
    assert facts.threads == 1
    assert sum(facts.products.values()) == 3
    assert (facts.products.get("int8", 0) > 0) == (computed == "int8")


def test_every_promised_precision_is_checked(engine: str, models: dict[str, Model]) -> None:
    for stored, promised in (("fp32", "int8"), ("fp32", "fp16"), ("int8", "fp16")):
        model = models[stored]
        with pytest.raises(IncompatibleError, match=f"promises {promised}"):
            open_backend(engine, model.content, request_for(model, promised), "1.0")


def test_an_answer_outlives_the_next_one(engine: str, tiny_fp32: Model) -> None:
    backend = open_backend(engine, tiny_fp32.content, request_for(tiny_fp32, "fp32"), "1.0")
    first, second = tensors(2, tiny_fp32.size)
    logits, maps = backend.infer(first)
    kept = logits.copy(), maps.copy()
    backend.infer(second)
    np.testing.assert_array_equal(logits, kept[0])
    np.testing.assert_array_equal(maps, kept[1])


def test_same_input_same_answer_and_input_untouched(engine: str, tiny_int8: Model) -> None:
    backend = open_backend(engine, tiny_int8.content, request_for(tiny_int8, "int8"), "1.0")
    (tensor,) = tensors(1, tiny_int8.size)
    before = tensor.copy()
    first, again = backend.infer(tensor), backend.infer(tensor)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    np.testing.assert_array_equal(tensor, before)


@pytest.mark.parametrize(("stored", "computed"), ROUTES)
def test_an_openvino_ir_answers_as_the_file_it_was_made_from(
    stored: str, computed: str, tiny_irs: dict[str, Ir]
) -> None:
    ir = tiny_irs[stored]
    request = request_for(ir.source, computed)
    backend = open_backend("openvino", ir.content, request, "1.0", ir.weights)
    assert backend.facts.precision == computed
    for tensor in tensors(2, ir.source.size):
        logits, score_maps = backend.infer(tensor)
        expected_logits, expected_maps = reference(ir.source.content, tensor)
        allowed = 1e-4 if stored == "fp32" else 2.5 * 6 / 127
        np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=allowed)
        np.testing.assert_allclose(score_maps, expected_maps, rtol=0, atol=allowed)


def test_an_openvino_ir_without_its_second_file_is_refused(tiny_irs: dict[str, Ir]) -> None:
    ir = tiny_irs["fp32"]
    for weights in (b"", ir.weights[:100]):
        with pytest.raises(IncompatibleError):
            open_backend("openvino", ir.content, request_for(ir.source, "fp32"), "1.0", weights)


def test_a_second_file_is_refused_where_models_have_one(tiny_fp32: Model) -> None:
    if "onnxruntime" not in installed_engines():
        pytest.skip("onnxruntime is not installed")
    request = request_for(tiny_fp32, "fp32")
    with pytest.raises(IncompatibleError, match="two files"):
        open_backend("onnxruntime", tiny_fp32.content, request, "1.0", b"weights")


@pytest.fixture(params=sorted(PREPARERS))
def preparing_engine(request: pytest.FixtureRequest) -> str:
    if request.param not in installed_engines():
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.mark.parametrize(("stored", "computed"), ROUTES)
def test_what_was_compiled_answers_and_runs_as_its_model(
    preparing_engine: str, stored: str, computed: str, models: dict[str, Model]
) -> None:
    model = models[stored]
    request = request_for(model, computed)
    backend, compiled = load_preparer(preparing_engine).prepare(model.content, request)
    restored = restore_backend(preparing_engine, compiled, request, "1.0")
    assert (backend.facts.prepared, restored.facts.prepared) == (False, True)
    assert msgspec.structs.replace(restored.facts, prepared=False) == backend.facts
    for tensor in tensors(2, model.size):
        for expected, found in zip(backend.infer(tensor), restored.infer(tensor), strict=True):
            np.testing.assert_array_equal(found, expected)


def test_another_precision_than_was_compiled_is_refused(
    preparing_engine: str, tiny_int8: Model
) -> None:
    preparer = load_preparer(preparing_engine)
    _, compiled = preparer.prepare(tiny_int8.content, request_for(tiny_int8, "int8"))
    with pytest.raises(IncompatibleError, match="promises fp32"):
        preparer.restore(compiled, request_for(tiny_int8, "fp32"))


def test_bytes_that_nothing_compiled_are_refused_in_one_line(
    preparing_engine: str, tiny_fp32: Model
) -> None:
    for compiled in (b"", b"no model at all" * 9):
        with pytest.raises(IncompatibleError, match="prepare") as caught:
            restore_backend(preparing_engine, compiled, request_for(tiny_fp32, "fp32"), "1.0")
        assert "\n" not in str(caught.value)


def test_engines_that_keep_nothing_cannot_prepare() -> None:
    for name in set(ENGINES) - set(PREPARERS):
        with pytest.raises(UsageError, match="can be prepared"):
            load_preparer(name)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": 5},
        {"size": 32},
    ],
)
def test_a_model_that_is_not_the_manifests_is_refused(
    engine: str, change: dict[str, int], tiny_fp32: Model
) -> None:
    facts = {"labels": tiny_fp32.labels, "size": tiny_fp32.size, **change}
    request = EngineRequest(precision="fp32", threads=1, **facts)
    with pytest.raises(IncompatibleError, match="manifest"):
        open_backend(engine, tiny_fp32.content, request, "1.0")


def test_a_model_without_score_maps_is_refused(engine: str, tiny_fp32: Model) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(tiny_fp32.content)
    kept = [output for output in model.graph.output if output.name != "score_maps"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    with pytest.raises(IncompatibleError, match="score_maps"):
        open_backend(engine, model.SerializeToString(), request_for(tiny_fp32, "fp32"), "1.0")


def test_a_dynamic_batch_is_refused(engine: str, tiny_fp32: Model) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(tiny_fp32.content)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    with pytest.raises(IncompatibleError, match="None"):
        open_backend(engine, model.SerializeToString(), request_for(tiny_fp32, "fp32"), "1.0")


def test_bytes_that_are_no_model_are_refused_in_one_line(engine: str, tiny_fp32: Model) -> None:
    with pytest.raises(IncompatibleError) as caught:
        open_backend(engine, b"no model at all", request_for(tiny_fp32, "fp32"), "1.0")
    assert "\n" not in str(caught.value)


def test_an_engine_older_than_the_bundle_needs_is_refused(engine: str, tiny_fp32: Model) -> None:
    with pytest.raises(IncompatibleError, match=r"9999\.0 or newer"):
        open_backend(engine, tiny_fp32.content, request_for(tiny_fp32, "fp32"), "9999.0")


@pytest.mark.parametrize(
    "tensor",
    [
        np.zeros((3, 64, 64), np.float32),
        np.zeros((1, 3, 64, 64), np.float64),
        np.zeros((2, 3, 64, 64), np.float32),
        np.zeros((1, 64, 64, 3), np.float32),
    ],
)
def test_a_tensor_of_another_kind_is_refused(
    engine: str, tensor: np.ndarray, tiny_fp32: Model
) -> None:
    backend = open_backend(engine, tiny_fp32.content, request_for(tiny_fp32, "fp32"), "1.0")
    with pytest.raises(UsageError, match="float32"):
        backend.infer(tensor)


def test_a_closed_backend_says_so(engine: str, tiny_fp32: Model) -> None:
    backend: Backend = load_engine(engine)(tiny_fp32.content, request_for(tiny_fp32, "fp32"))
    backend.close()
    backend.close()
    with pytest.raises(UsageError, match="closed"):
        backend.infer(*tensors(1, tiny_fp32.size))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_engines_agree(precision: str, models: dict[str, Model]) -> None:
    engines = sorted(installed_engines() & set(AUTO_ORDER))
    if len(engines) < 2:
        pytest.skip("one engine installed; agreement needs two")
    model = models[precision]
    answers = []
    for engine in engines:
        backend = open_backend(engine, model.content, request_for(model, precision), "1.0")
        answers.append([backend.infer(tensor)[0] for tensor in tensors(4, model.size)])
    allowed = 1e-4 if precision == "fp32" else 2.5 * 6 / 127
    np.testing.assert_allclose(answers[0], answers[1], rtol=0, atol=allowed)


def test_the_table_names_classes_that_exist() -> None:
    for name, entry in ENGINES.items():
        module, _, attribute = entry.factory.partition(":")
        spec = importlib.util.find_spec(module)
        assert spec is not None, name
        if name in installed_engines():
            assert hasattr(importlib.import_module(module), attribute)
        if name in installed_engines() and not entry.device:
            assert load_engine(name).__name__ == attribute  # type: ignore[attr-defined]


def weights_only_model(size: int = 64, labels: int = 7) -> bytes:
    """INT8 weights and FP32 activations, as a transformer's layers are often stored."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    random = np.random.default_rng(9)
    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    def product(value: str, inner: int, outer: int, out: str) -> None:
        weight = random.normal(size=(inner, outer)).astype(np.float32) / inner**0.5
        steps = (np.abs(weight).max(axis=0) / 127).astype(np.float32)
        stored = constant(f"{out}_q", np.rint(weight / steps).astype(np.int8))
        scale = constant(f"{out}_step", steps)
        zero = constant(f"{out}_zero", np.zeros(outer, np.int8))
        nodes.append(
            helper.make_node("DequantizeLinear", [stored, scale, zero], [f"{out}_w"], axis=1)
        )
        nodes.append(helper.make_node("MatMul", [value, f"{out}_w"], [out]))

    cells = size // 4
    tokens = constant("tokens", np.array([1, cells * cells, 48], np.int64))
    nodes.append(helper.make_node("Reshape", ["image", tokens], ["patches"]))
    product("patches", 48, 256, "a")
    nodes.append(helper.make_node("Relu", ["a"], ["b"]))
    product("b", 256, 256, "c")
    nodes.append(helper.make_node("Relu", ["c"], ["d"]))
    product("d", 256, labels, "e")
    nodes.append(helper.make_node("Transpose", ["e"], ["f"], perm=[0, 2, 1]))
    maps = constant("maps", np.array([1, labels, cells, cells], np.int64))
    nodes.append(helper.make_node("Reshape", ["f", maps], ["score_maps"]))
    positions = constant("positions", np.array([2, 3], np.int64))
    nodes.append(helper.make_node("ReduceMean", ["score_maps", positions], ["logits"], keepdims=0))
    kind = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "weights-only",
        [helper.make_tensor_value_info("image", kind, [1, 3, size, size])],
        [
            helper.make_tensor_value_info("logits", kind, [1, labels]),
            helper.make_tensor_value_info("score_maps", kind, [1, labels, cells, cells]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def test_activations_nobody_quantised_stay_as_they_are(engine: str) -> None:
    """Engines may round them to INT8 at run time unless told not to, and no kernel's name tells."""
    content = weights_only_model()
    request = EngineRequest(precision="fp32", threads=1, size=64, labels=7)
    backend = open_backend(engine, content, request, "1.0")
    assert backend.facts.products == {"fp32": 3}
    for tensor in tensors(3, 64):
        logits, score_maps = backend.infer(tensor)
        expected_logits, expected_maps = reference(content, tensor)
        np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=1e-5)
        np.testing.assert_allclose(score_maps, expected_maps, rtol=0, atol=1e-5)
