"""A real bundle in a real engine over rendered phantoms, against the same sums done by hand.

The model is linear in the mean colour of the prepared picture, so that its answers can be computed
without any engine.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import average_precision_score

from realmnet_benchmarks.accuracy import Answers, answer, compare, measure
from realmnet_benchmarks.phantom_splits import SplitPlan, draw_splits
from realmnet_benchmarks.phantoms import write_dataset
from realmnet_benchmarks.records import read_psmm
from realmnet_benchmarks.splits import Split
from realmnet_runtime import Predictor, PreprocessSpec, preprocess, read_image
from realmnet_runtime.bundles.manifest import Model, OperatingPoint, Provenance, Variant
from realmnet_runtime.bundles.writer import write_bundle
from realmnet_runtime.labels import PSMM
from realmnet_runtime.signatures.trust import ANY_BUNDLE

onnx = pytest.importorskip("onnx", reason="the test model is made with onnx")

SPEC = PreprocessSpec(size=64)
THRESHOLDS = dict(zip(PSMM.names, (0.5, 0.45, 0.55, 0.5, 0.5, 0.4, 0.6), strict=True))
WEIGHTS = np.random.default_rng(3).normal(size=(7, 3)).astype(np.float32) * 8
COARSE = (4 * np.round(WEIGHTS / 4)).astype(np.float32)


def linear_model(weights: NDArray[np.float32]) -> bytes:
    """logits = W . mean colour; score maps = W . colour at each position."""
    helper = onnx.helper
    size, kind = SPEC.size, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["score_maps"]),
        helper.make_node("ReduceMean", ["score_maps", "axes"], ["logits"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", kind, [1, 3, size, size])],
        [
            helper.make_tensor_value_info("logits", kind, [1, 7]),
            helper.make_tensor_value_info("score_maps", kind, [1, 7, size, size]),
        ],
        [
            onnx.numpy_helper.from_array(weights.reshape(7, 3, 1, 1), "w"),
            onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    content: bytes = model.SerializeToString()
    return content


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    point = OperatingPoint(
        temperatures=dict.fromkeys(PSMM.names, 2.0), thresholds=THRESHOLDS, fitted_on="nothing"
    )
    return write_bundle(
        tmp_path_factory.mktemp("bundle") / "linear.realmnet",
        files={"fine.onnx": linear_model(WEIGHTS), "coarse.onnx": linear_model(COARSE)},
        model=Model("linear", "1", "linear in the mean colour", 21, "A test: says nothing."),
        labels=PSMM,
        preprocess=SPEC,
        variants=[
            Variant(
                name=name,
                engine="onnxruntime",
                precision="fp32",
                execution_precision="fp32",
                artifact=f"{name}.onnx",
                operating_point=point,
                oldest_engine="1.0",
            )
            for name in ("fine", "coarse")
        ],
        provenance=Provenance(
            created="2026-01-01",
            trained_on="nothing",
            command="pytest",
            toolkit_version="0",
            checkpoint_sha256="0" * 64,
            data_sha256={},
            software={},
        ),
    )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Split:
    root = tmp_path_factory.mktemp("phantoms")
    cases = draw_splits(SplitPlan(0, 0, 24, 0, images_per_patient=2))
    write_dataset(root, cases, height=192, width=240)
    return read_psmm(root)["test"]


def by_hand(table: Split, weights: NDArray[np.float32]) -> NDArray[np.float64]:
    colours = np.array(
        [
            preprocess(read_image(path), SPEC).mean(axis=(1, 2), dtype=np.float64)
            for path in table.paths
        ]
    )
    probabilities: NDArray[np.float64] = expit(colours @ weights.T / 2.0)
    return probabilities


def test_answers_and_metrics_are_those_computed_by_hand(bundle: Path, table: Split) -> None:
    with Predictor.open(bundle, variant="fine", threads=1, trust=ANY_BUNDLE) as predictor:
        found = answer(predictor, table)
    expected = by_hand(table, WEIGHTS)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    assert found.variant == "fine (fp32)"
    np.testing.assert_array_equal(found.thresholds, list(THRESHOLDS.values()))
    np.testing.assert_array_equal(found.decisions, found.probabilities >= found.thresholds)
    columns = zip(table.labels.T, expected.T, strict=True)
    np.testing.assert_allclose(
        measure(found, table)["ap_per_label"],
        [average_precision_score(truth, scores) for truth, scores in columns],
        atol=1e-3,
    )


def test_a_coarser_variant_flips_the_decisions_it_flips_by_hand(bundle: Path, table: Split) -> None:
    both: list[Answers] = []
    for variant in ("fine", "coarse"):
        with Predictor.open(bundle, variant=variant, threads=1, trust=ANY_BUNDLE) as predictor:
            both.append(answer(predictor, table))
    thresholds = np.array(list(THRESHOLDS.values()))
    fine, coarse = (by_hand(table, w) >= thresholds for w in (WEIGHTS, COARSE))
    result = compare(both[0], both[1], table, replicates=20)
    assert (fine != coarse).any()
    np.testing.assert_allclose(
        result.flips_per_label.estimate, 1_000 * (fine != coarse).mean(axis=0), atol=1e-9
    )


def test_a_damaged_picture_is_refused_and_the_rest_answered(bundle: Path, table: Split) -> None:
    damaged = table.paths[5]
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: len(whole) // 3])
    try:
        with Predictor.open(bundle, variant="fine", threads=1, trust=ANY_BUNDLE) as predictor:
            found = answer(predictor, table)
    finally:
        damaged.write_bytes(whole)
    assert np.flatnonzero(found.refused).tolist() == [5]
    assert dict(found.refusals) == {"UnreadableImage": 1}
    assert measure(found, table)["positives"].sum() == 2 * (len(table) - 1)
