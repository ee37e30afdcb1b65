"""The INT8 file: what is in it, that both engines compute it in INT8, and what it answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from realmnet_compression.answers import ask
from realmnet_compression.export_onnx import read_onnx, read_signature
from realmnet_compression.quantisation.products import find_products
from realmnet_compression.quantisation.quantise import (
    Check,
    QuantiseReport,
    QuantiseSettings,
    quantise,
)
from realmnet_runtime.backends import EngineRequest, load_engine
from realmnet_runtime.bundles.manifest import Engine, Precision
from realmnet_runtime.errors import ConfigurationError, GateFailed, UsageError

Float32Array = NDArray[np.float32]
ONE_THREAD = QuantiseSettings(threads=1)


@pytest.fixture(scope="module")
def quantised(
    exported: Path, tensors: list[Float32Array], tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, QuantiseReport]:
    path = tmp_path_factory.mktemp("quantised") / "int8.onnx"
    report = quantise(exported, path, tensors[:12], settings=ONE_THREAD)
    return path.read_bytes(), report


def test_products_are_all_weights_outside_the_head(exported: Path) -> None:
    products = find_products(onnx.load(exported).graph)
    kinds = Counter(product.kind for product in products)

    assert kinds == {"linear": 40, "depthwise": 15, "convolution": 12}
    assert all(product.bias is not None for product in products)
    assert not any(product.name.startswith("head") for product in products)


def test_report_names_every_product_once(
    exported: Path, quantised: tuple[bytes, QuantiseReport]
) -> None:
    _, report = quantised
    names = [product.name for product in find_products(onnx.load(exported).graph)]

    assert sorted([*report.int8, *report.weights_only, *report.given_back]) == sorted(names)
    assert (len(report.int8), len(report.weights_only), report.given_back) == (52, 15, ())


def test_weights_are_int8_and_the_file_is_small(
    exported: Path, quantised: tuple[bytes, QuantiseReport]
) -> None:
    raw, _ = quantised
    model = onnx.load_from_string(raw)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    codes = [t for name, t in stored.items() if name.endswith("/codes") and "bias" not in name]

    assert len(codes) == 67
    assert {tensor.data_type for tensor in codes} == {onnx.TensorProto.INT8}
    assert all(numpy_helper.to_array(tensor).min() >= -127 for tensor in codes)
    assert len(raw) < exported.stat().st_size * 0.29
    assert read_signature(model, "quantised").labels == 7


def test_the_same_input_gives_the_same_bytes(
    exported: Path,
    tensors: list[Float32Array],
    quantised: tuple[bytes, QuantiseReport],
    tmp_path: Path,
) -> None:
    path = tmp_path / "again.onnx"
    quantise(exported, path, tensors[:12], settings=ONE_THREAD)

    assert path.read_bytes() == quantised[0]


@pytest.mark.parametrize(
    ("engine", "precision"),
    [
        ("onnxruntime", "int8"),
        ("openvino", "int8"),
        ("onnxruntime", "fp32"),
        ("openvino", "fp32"),
    ],
)
def test_one_file_runs_in_both_engines_and_both_arithmetics(
    exported: Path,
    tensors: list[Float32Array],
    quantised: tuple[bytes, QuantiseReport],
    engine: Engine,
    precision: Precision,
) -> None:
    raw, _ = quantised
    request = EngineRequest(precision=precision, threads=1, size=64, labels=7)
    backend = load_engine(engine)(raw, request)
    products = backend.facts.products
    backend.close()
    expected = ask(exported.read_bytes(), "onnxruntime", "fp32", tensors, labels=7, threads=1)
    found = ask(raw, engine, precision, tensors, labels=7, threads=1)

    assert (products.get("int8", 0) >= 40) == (precision == "int8")
    spread = expected.logits.std(axis=0).mean()
    assert np.abs(found.logits - expected.logits).mean() < 0.1 * spread


def test_activations_go_back_until_decisions_hold(
    exported: Path, tensors: list[Float32Array], tmp_path: Path
) -> None:
    path = tmp_path / "int8.onnx"
    fences = fences_of_activations(exported, tensors, path)
    check = Check(tensors=tensors[12:], logit_thresholds=fences)
    loose = quantise(exported, path, tensors[:12], check=check, settings=linear_only())
    assert loose.given_back == ()
    worst = max(loose.flips.values())
    assert worst > 0.0, "each fence stands between an FP32 logit and its INT8 one"

    strict = linear_only(most_flips=worst * 0.7)
    report = quantise(exported, path, tensors[:12], check=check, settings=strict)

    assert report.given_back
    assert max(report.flips.values()) <= strict.most_flips
    assert not set(report.given_back) & set(report.int8)
    written, _ = read_onnx(path)
    pairs = sum(node.op_type == "QuantizeLinear" for node in written.graph.node)
    assert pairs == len(report.int8)


def linear_only(most_flips: float = 1.0) -> QuantiseSettings:
    return QuantiseSettings(activations=("linear",), threads=1, most_flips=most_flips, ranked_on=2)


def fences_of_activations(
    exported: Path, tensors: list[Float32Array], path: Path
) -> NDArray[np.float64]:
    """Thresholds that 8-bit activations cross and rounded weights alone do not.

    So giving activations back can mend every flip, whatever the processor made of the training.
    """
    quantise(exported, path, tensors[:12], settings=QuantiseSettings(activations=(), threads=1))
    of_weights = logits_of(path, "fp32", tensors[12:])
    quantise(exported, path, tensors[:12], settings=linear_only())
    of_both = logits_of(path, "int8", tensors[12:])
    exact = logits_of(exported, "fp32", tensors[12:])[0]
    between = (exact + of_both[0]) / 2
    chosen = np.full(7, np.inf)
    for label in range(7):
        widest = 0.0
        for fence in between[:, label]:
            sides = exact[:, label] >= fence
            room = min(np.abs(logits[:, label] - fence).min() for logits in (exact, *of_weights))
            held = all(((logits[:, label] >= fence) == sides).all() for logits in of_weights)
            if held and room > widest and ((of_both[0][:, label] >= fence) != sides).any():
                chosen[label], widest = fence, room
    return chosen


def logits_of(
    path: Path, precision: Precision, tensors: list[Float32Array]
) -> list[NDArray[np.float64]]:
    """(N, 7) of each engine."""
    engines: tuple[Engine, ...] = ("onnxruntime", "openvino")
    raw = path.read_bytes()
    return [
        ask(raw, engine, precision, tensors, labels=7, threads=1).logits.astype(np.float64)
        for engine in engines
    ]


def test_decisions_that_cannot_hold_stop_the_quantiser(
    exported: Path, tensors: list[Float32Array], tmp_path: Path
) -> None:
    picture = tensors[12:13]
    raw = exported.read_bytes()
    exact = ask(raw, "onnxruntime", "fp32", picture, labels=7, threads=1).logits[0]
    settings = QuantiseSettings(activations=("linear",), threads=1, most_flips=1e-9, ranked_on=1)
    path = tmp_path / "int8.onnx"
    refusals = 0
    # a logit on its own threshold flips when it falls, one just below when it rises
    for threshold in (exact, np.nextafter(exact, np.float32(np.inf))):
        check = Check(picture, threshold.astype(np.float64))
        try:
            quantise(exported, path, tensors[:4], check=check, settings=settings)
        except GateFailed:
            refusals += 1
            assert not path.exists()
        path.unlink(missing_ok=True)

    assert refusals >= 1


def test_a_quantised_file_is_not_quantised_again(
    tensors: list[Float32Array], quantised: tuple[bytes, QuantiseReport], tmp_path: Path
) -> None:
    path = tmp_path / "int8.onnx"
    path.write_bytes(quantised[0])

    with pytest.raises(ConfigurationError, match="quantised already"):
        quantise(path, tmp_path / "twice.onnx", tensors[:2])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [([], "no calibration pictures"), ([np.zeros((1, 3, 32, 32), np.float32)], "the file takes")],
)
def test_wrong_calibration_is_refused(
    exported: Path, tmp_path: Path, wrong: list[Float32Array], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        quantise(exported, tmp_path / "x.onnx", wrong)


def test_a_check_needs_pictures() -> None:
    with pytest.raises(UsageError, match="no check pictures"):
        Check(tensors=[], logit_thresholds=np.zeros(7))
