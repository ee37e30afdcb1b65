"""A deadline stops an answer that is late and changes nothing about one that is in time."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime import DeadlineExceeded, Predictor, UsageError
from realmnet_runtime.answering.deadline import LONGEST_SECONDS, Deadline
from realmnet_runtime.backends import AUTO_ORDER, EngineRequest, installed_engines, open_backend
from realmnet_runtime.backends._contract import Backend
from realmnet_runtime.signatures.trust import ANY_BUNDLE

SIZE = 448


@pytest.fixture(params=sorted(AUTO_ORDER))
def engine(request: pytest.FixtureRequest) -> str:
    if request.param not in installed_engines():
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture(scope="module")
def slow_model() -> bytes:
    """Sixty wide convolutions: slow enough to be stopped, of many layers to be stopped between."""
    onnx = pytest.importorskip("onnx", reason="test models are made with onnx, a test dependency")
    helper, array = onnx.helper, onnx.numpy_helper.from_array
    random = np.random.default_rng(3)
    constants = [
        array((random.normal(size=(16, 3, 3, 3)) * 0.2).astype(np.float32), "first"),
        array((random.normal(size=(16, 16, 3, 3)) * 0.08).astype(np.float32), "middle"),
        array((random.normal(size=(7, 16, 1, 1)) * 0.1).astype(np.float32), "last"),
        array(np.array([2, 3], np.int64), "positions"),
    ]
    pads = [1, 1, 1, 1]
    nodes = [helper.make_node("Conv", ["image", "first"], ["v0"], strides=[2, 2], pads=pads)]
    for n in range(60):
        nodes.append(helper.make_node("Conv", [f"v{n}", "middle"], [f"c{n}"], pads=pads))
        nodes.append(helper.make_node("Tanh", [f"c{n}"], [f"v{n + 1}"]))
    nodes.append(helper.make_node("Conv", ["v60", "last"], ["score_maps"]))
    nodes.append(
        helper.make_node("ReduceMean", ["score_maps", "positions"], ["logits"], keepdims=0)
    )
    kind, half = onnx.TensorProto.FLOAT, SIZE // 2
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("image", kind, [1, 3, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("logits", kind, [1, 7]),
            helper.make_tensor_value_info("score_maps", kind, [1, 7, half, half]),
        ],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


@pytest.fixture
def slow_backend(engine: str, slow_model: bytes) -> Iterator[Backend]:
    request = EngineRequest(precision="fp32", threads=1, size=SIZE, labels=7)
    backend = open_backend(engine, slow_model, request, "1.0")
    yield backend
    backend.close()


def test_an_engine_is_stopped_and_runs_again(slow_backend: Backend) -> None:
    tensor = np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)
    expected = slow_backend.infer(tensor)
    threads = threading.active_count()
    for _ in range(2):
        with pytest.raises(DeadlineExceeded, match=r"stopped.*more time") as caught:
            slow_backend.infer(tensor, 0.002)
        assert caught.value.exit_code == 3
        assert threading.active_count() == threads
    again = slow_backend.infer(tensor, 3600.0)
    for one, other in zip(expected, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_answer_in_time_is_the_answer(
    engine: str, tiny_bundle: Path, eye: NDArray[np.uint8]
) -> None:
    with Predictor.open(tiny_bundle, engine=engine, threads=1, trust=ANY_BUNDLE) as predictor:
        expected = predictor.predict(eye)
        found = predictor.predict(eye, deadline=3600)
        with pytest.raises(DeadlineExceeded, match=r"after stage 'decode'.*give it more"):
            predictor.predict(eye, deadline=1e-9)
        assert predictor.predict(eye).probabilities == expected.probabilities
    assert found.probabilities == expected.probabilities
    np.testing.assert_array_equal(found.score_maps, expected.score_maps)


def test_waiting_for_the_engine_counts(
    engine: str, tiny_bundle: Path, eye: NDArray[np.uint8]
) -> None:
    with Predictor.open(tiny_bundle, engine=engine, threads=1, trust=ANY_BUNDLE) as predictor:
        predictor.predict(eye)
        with predictor._turn, pytest.raises(DeadlineExceeded, match="waiting for the engine"):
            predictor.predict(eye, deadline=1.5)
        predictor.predict(eye, deadline=3600)


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf, LONGEST_SECONDS + 1])
def test_an_impossible_deadline_is_a_mistake_in_using_it(seconds: float) -> None:
    with pytest.raises(UsageError, match="more than 0 and at most"):
        Deadline.after(seconds)


@given(st.floats(1e-6, LONGEST_SECONDS))
def test_what_remains_lies_between_nothing_and_all(seconds: float) -> None:
    before = time.monotonic()
    limit = Deadline.after(seconds)
    remaining = limit.remaining
    assert remaining is not None
    assert 0 <= remaining <= seconds
    assert limit.moment >= before + seconds
    if remaining == 0:
        with pytest.raises(DeadlineExceeded):
            limit.require("a stage")


def test_without_a_deadline_there_is_always_time() -> None:
    limit = Deadline.after(None)
    assert limit.remaining is None
    limit.require("a stage")
