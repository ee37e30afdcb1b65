"""Recipes of `realmnet compress`: the shipped one, and those whose steps do not fit together."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from realmnet_compression.compressing.actions import ACTIONS
from realmnet_compression.compressing.recipe import COMPRESSIONS, load_compression
from realmnet_compression.compressing.steps import AnyStep, GateStep, QuantiseStep
from realmnet_runtime.errors import ConfigurationError, MissingPath

ROOM = Path(__file__).parents[3] / "compression" / "realmnet_compression" / "compressing"
SHIPPED = ROOM / "recipes"

HEAD = """
name = "x"
version = "1"
notice = "a test"
trained_on = "nothing"
"""
EXPORT = """
[[steps]]
type = "export"
name = "fp32"
[[steps.variants]]
name = "ort"
engine = "onnxruntime"
execution = "fp32"
oldest_engine = "1.20"
"""
QUANTISE = '[[steps]]\ntype = "quantise"\nname = "int8"\n'
IR = """
[[steps]]
type = "openvino"
[[steps.variants]]
name = "ir"
engine = "openvino"
execution = "int8"
oldest_engine = "2025.0"
"""
GATE = '[[steps]]\ntype = "gate"\n'
BUNDLE = '[[steps]]\ntype = "bundle"\n'


def written(tmp_path: Path, *parts: str) -> str:
    path = tmp_path / "recipe.toml"
    path.write_text("\n".join([HEAD, *parts]))
    return str(path)


def test_every_shipped_recipe_loads() -> None:
    assert {path.stem for path in SHIPPED.glob("*.toml")} == set(COMPRESSIONS)
    for name in COMPRESSIONS:
        assert load_compression(name).models


def test_every_kind_of_step_has_a_function() -> None:
    assert set(get_args(AnyStep)) == set(ACTIONS)


def test_steps_take_the_last_product_that_fits(tmp_path: Path) -> None:
    recipe = load_compression(written(tmp_path, EXPORT, QUANTISE, GATE, BUNDLE))

    assert [recipe.source_of(place) for place in range(4)] == ["checkpoint", "fp32", None, "gate"]
    assert list(recipe.folders.values()) == ["01-fp32", "02-int8", "03-gate", "04-bundle"]
    assert recipe.command == "realmnet compress x"
    assert isinstance(recipe.steps[1], QuantiseStep)
    assert isinstance(recipe.steps[2], GateStep)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (['[[steps]]\ntype = "exprot"'], r"step 1 has type 'exprot'.*did you mean 'export'"),
        (["[[steps]]"], "step 1 has type 'None'; there are distil, export, half, quantise"),
        ([EXPORT, QUANTISE + "check_picture = 3"], r"did you mean 'check_pictures'"),
        ([EXPORT, GATE + "[steps.margins]\nauroq = 0.1"], r"did you mean 'auroc'"),
        ([EXPORT, GATE + "[steps.margins]\nap = 0.0"], r"ap"),
        ([QUANTISE, EXPORT], r"takes the FP32 ONNX file.*put a step that makes one before it"),
        ([EXPORT, QUANTISE + 'of = "fp23"'], r"is called 'fp23'.*did you mean 'fp32'"),
        ([EXPORT, BUNDLE], r"put a step that makes one before it \(gate\)"),
        ([EXPORT, GATE, QUANTISE, BUNDLE], "no gate has judged"),
        ([EXPORT, GATE + 'of = "fp32"'], "leave 'of' out"),
        ([EXPORT, GATE + 'tables = ["tset"]'], r"did you mean 'test'"),
        ([QUANTISE.replace("quantise", "gate")], "exports 0 times"),
        ([EXPORT, EXPORT.replace('"fp32"\n[[', '"again"\n[[').replace('"ort"', '"b"')], "2 times"),
        ([EXPORT, EXPORT], "two steps are called 'fp32'"),
        ([EXPORT.replace('"fp32"\n[[', '"checkpoint"\n[[')], "called 'checkpoint'"),
        ([EXPORT.replace('"ort"', '"fp32-reference"')], "which is taken"),
        ([EXPORT.replace('execution = "fp32"', 'execution = "int8"')], "computes in int8"),
        ([EXPORT.split("[[steps.variants]]", maxsplit=1)[0], GATE], "no variant to judge"),
        (
            [EXPORT, IR.replace('engine = "openvino"', 'engine = "onnxruntime"')],
            r"asks onnxruntime to run .* \(openvino\) makes; only openvino can",
        ),
        ([EXPORT, '[[steps]]\ntype = "distil"\npreset = "smoke"'], "put distil first"),
        ([EXPORT, '[[steps]]\ntype = "tensorrt-rtx"\nof = "fp23"'], r"did you mean 'fp32'"),
        (['evidence = ["val"]', EXPORT], "cannot be their evidence"),
        (['label_set = "psm"', EXPORT], r"did you mean 'psmm'"),
        (["steps = []"], "steps"),
        (["[steps"], "no TOML"),
    ],
)
def test_impossible_recipes_are_refused(tmp_path: Path, parts: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_compression(written(tmp_path, *parts))


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(MissingPath, match="did you mean 'portable'"):
        load_compression("protable")
