"""`realmnet prepare` as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from realmnet_runtime.backends import installed_engines

Command = Callable[..., Any]

pytestmark = pytest.mark.skipif(
    "openvino" not in installed_engines(), reason="openvino is not installed"
)


def test_prepared_once_kept_the_second_time_and_used(
    realmnet: Command, tiny_bundle: Path, eye_file: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    words = [
        "prepare",
        tiny_bundle,
        "--allow-unsigned",
        "--engine",
        "openvino",
        "--cache",
        cache,
        "--threads",
        "1",
    ]
    first, second = realmnet(*words, "--json"), realmnet(*words, "--json")
    assert first.code == second.code == 0
    states = [
        [(v["variant"], v["state"]) for v in json.loads(done.out)["variants"]]
        for done in (first, second)
    ]
    assert states[0] == [("openvino-int8", "prepared"), ("openvino-fp32", "prepared")]
    assert states[1] == [("openvino-int8", "kept"), ("openvino-fp32", "kept")]

    shown = realmnet(*words)
    assert "kept" in shown.out
    options = [
        "--bundle",
        tiny_bundle,
        "--allow-unsigned",
        "--engine",
        "openvino",
        "--threads",
        "1",
        "--json",
    ]
    answers = [
        json.loads(realmnet("predict", eye_file, *options, "--cache", folder).out)
        for folder in (cache, tmp_path / "none")
    ]
    assert answers[0]["probabilities"] == pytest.approx(answers[1]["probabilities"], abs=1e-6)


@pytest.mark.parametrize(
    ("engine", "says"),
    [("onnxruntime", "openvino can be prepared"), ("openvina", "did you mean 'openvino'")],
)
def test_engines_that_cannot_be_prepared_are_one_line(
    realmnet: Command, tiny_bundle: Path, tmp_path: Path, engine: str, says: str
) -> None:
    done = realmnet(
        "prepare", tiny_bundle, "--allow-unsigned", "--engine", engine, "--cache", tmp_path / "c"
    )
    assert done.code == 2
    assert says in done.one_line()
    assert not (tmp_path / "c").exists()
