"""Engines built without a GPU by TensorRT-RTX, their keys, and files that cannot be built."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import msgspec
import onnx
import pytest

from realmnet_compression.build_tensorrt import build_ahead_of_time, build_tensorrt, capabilities
from realmnet_compression.graphs.half import write_half
from realmnet_runtime.backends._engine_key import (
    ANY_GPU,
    EngineKey,
    key_path,
    read_engine,
    read_record,
)
from realmnet_runtime.backends._tensorrt import import_library
from realmnet_runtime.errors import (
    BackendUnavailable,
    ConfigurationError,
    IncompatibleError,
    MissingPath,
    OutputError,
)
from realmnet_runtime.files import sha256_of

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None,
    reason="TensorRT-RTX is not installed; pip install 'realmnet[tensorrt-rtx]'",
)


@pytest.fixture(scope="module")
def sources(
    small_file: Path, small_int8: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("half")
    return {
        "fp16": write_half(small_file, folder / "fp16.onnx"),
        "int8": small_int8,
        "int8 and fp16": write_half(small_int8, folder / "int8-fp16.onnx"),
    }


@pytest.fixture(scope="module")
def engine(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_ahead_of_time(sources["fp16"], tmp_path_factory.mktemp("engine") / "a.engine")


@needs_library
@pytest.mark.parametrize(
    ("source", "capability"),
    [
        ("fp16", "8.9"),
        ("fp16", "12.0"),
        ("int8", "8.9"),
        ("int8", "12.0"),
        ("int8 and fp16", "8.9"),
    ],
)
def test_an_engine_is_built_without_a_gpu(
    sources: dict[str, Path], source: str, capability: str, tmp_path: Path
) -> None:
    path = build_ahead_of_time(sources[source], tmp_path / "x.engine", capability)
    record = read_record(path)

    library, module = import_library("tensorrt-rtx")
    assert record.key == EngineKey(
        built_with=library,
        built_with_version=module.__version__,
        gpu=ANY_GPU,
        compute_capability=capability,
        driver=None,
        onnx_sha256=sha256_of(sources[source]),
    )
    assert record.engine_bytes == path.stat().st_size > 10_000
    assert record.precision == source.partition(" ")[0]
    assert set(source.split(" and ")) <= set(record.products)
    assert record.products["fp32"] > 0
    assert record.build_seconds > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.engine", "x.engine.key.json"]


@needs_library
def test_an_engine_is_read_under_its_own_key_only(engine: Path) -> None:
    key = read_record(engine).key
    here = msgspec.structs.replace(key, gpu="NVIDIA GeForce RTX 4090", driver="13.0")

    plan, _ = read_engine(engine, here)
    assert plan == engine.read_bytes()

    other = msgspec.structs.replace(here, compute_capability="12.0", gpu="NVIDIA GeForce RTX 5090")
    with pytest.raises(IncompatibleError, match=r"compute capability 8\.9, here 12\.0") as caught:
        read_engine(engine, other)
    assert caught.value.exit_code == 6


def with_operator(source: Path, path: Path, operator: str) -> Path:
    """The file with one node more, between Relu and what reads it."""
    model = onnx.load(source)
    relu = next(node for node in model.graph.node if node.name == "stem/Relu")
    at = list(model.graph.node).index(relu) + 1
    relu.output[0] = "b/before"
    model.graph.node.insert(
        at, onnx.helper.make_node(operator, ["b/before"], ["b"], name="stem/strange")
    )
    path.write_bytes(model.SerializeToString())
    return path


@needs_library
def test_an_unsupported_operator_is_named_with_its_node(
    small_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = with_operator(small_file, tmp_path / "strange.onnx", "Det")
    path = tmp_path / "x.engine"

    with pytest.raises(ConfigurationError, match=r"operator Det of node 'stem/strange'") as caught:
        build_ahead_of_time(source, path)

    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not path.exists()
    assert not key_path(path).exists()
    assert capfd.readouterr().err == ""


@needs_library
@pytest.mark.parametrize("wrong", ["8.7", "89", "9.0", "", "sm89"])
def test_a_capability_that_is_not_built_for_lists_those_that_are(
    small_file: Path, wrong: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build_ahead_of_time(small_file, tmp_path / "x.engine", wrong)

    allowed = capabilities(import_library("tensorrt-rtx")[1])
    assert {"8.9", "12.0"} <= set(allowed)
    assert f"'{wrong}'" in str(caught.value)
    assert ", ".join(allowed) in str(caught.value)


@needs_library
def test_files_that_are_not_ours_are_refused(small_file: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPath):
        build_ahead_of_time(tmp_path / "absent.onnx", tmp_path / "x.engine")
    foreign = onnx.load(small_file)
    foreign.producer_name = "elsewhere"
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(ConfigurationError, match="was not exported by realmnet"):
        build_ahead_of_time(tmp_path / "foreign.onnx", tmp_path / "x.engine")


@needs_library
def test_unwritable_output(small_file: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create the directory"):
        build_ahead_of_time(small_file, tmp_path / "absent" / "x.engine")


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is not None, reason="plain TensorRT is installed"
)
def test_building_on_the_target_needs_tensorrt(small_file: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match=r"pip install 'realmnet-runtime\[tensorrt\]'"):
        build_tensorrt(small_file, tmp_path)
