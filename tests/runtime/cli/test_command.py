"""The command itself: its verbs, its help, its version, and mistakes in using it."""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from realmnet_runtime import __version__
from realmnet_runtime.cli.verbs import VERBS

Command = Callable[..., Any]


def test_version(realmnet: Command) -> None:
    done = realmnet("--version")
    assert (done.code, done.out, done.err) == (0, f"realmnet {__version__}\n", "")


def test_the_overview_lists_every_verb_on_stdout(realmnet: Command) -> None:
    done = realmnet("--help")
    assert (done.code, done.err) == (0, "")
    for name, verb in VERBS.items():
        (line,) = [line for line in done.out.splitlines() if line.startswith(f"  {name}  ")]
        assert verb.summary in line
    assert "Not a medical device" in done.out


def test_no_verb_is_a_mistake_that_shows_the_overview(realmnet: Command) -> None:
    done = realmnet()
    assert (done.code, done.out) == (2, "")
    assert "predict" in done.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["predikt"], "did you mean 'predict'?"),
        (["--verbose"], "no option '--verbose'"),
        (["predict"], "realmnet predict --help"),
        (["predict", "x.png", "--thread", "2"], "--thread"),
        (["predict", "x.png", "--threads", "0"], "--threads"),
        (["predict", "x.png", "--threads", "many"], "--threads"),
        (["info", "a", "b"], "realmnet info --help"),
    ],
)
def test_mistakes_are_2_and_one_line(realmnet: Command, words: list[str], says: str) -> None:
    done = realmnet(*words)
    assert (done.code, done.out) == (2, "")
    assert says in done.one_line()


@pytest.mark.parametrize("verb", ["predict", "watch", "selftest", "info", "prepare", "doctor"])
def test_every_verb_of_the_runtime_explains_itself(realmnet: Command, verb: str) -> None:
    done = realmnet(verb, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"realmnet {verb}" in done.out
    assert "--json" in done.out


@pytest.mark.parametrize("name", sorted(VERBS))
def test_the_table_names_what_is_there(name: str) -> None:
    """Without importing it: a verb of an upper floor would bring in torch."""
    module, _, attribute = VERBS[name].target.partition(":")
    package = module.partition(".")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"{module} is missing"
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    assert attribute in _names(tree)


def _names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def test_a_verb_whose_package_is_absent_says_which_install(realmnet_process: Command) -> None:
    done = realmnet_process("train", absent={"realmnet_training"})
    assert (done.code, done.out) == (2, "")
    assert "pip install 'realmnet[training]'" in done.one_line()
    overview = realmnet_process("--help", absent={"realmnet_training"}).out
    (line,) = [line for line in overview.splitlines() if line.startswith("  train ")]
    assert "pip install 'realmnet[training]'" in line


def test_the_entry_point_is_this_command() -> None:
    scripts = [e for e in entry_points(group="console_scripts") if e.name == "realmnet"]
    if not scripts:
        pytest.skip("the distribution is not installed")
    assert {script.value for script in scripts} == {"realmnet_runtime.cli:main"}


def test_debug_shows_where(realmnet: Command, tmp_path: Path) -> None:
    plain = realmnet("info", tmp_path / "absent.realmnet")
    debug = realmnet("--debug", "info", tmp_path / "absent.realmnet")
    assert plain.code == debug.code == 2
    plain.one_line()
    assert "Traceback" in debug.err


@pytest.mark.usefixtures("an_engine")
def test_info_says_what_the_manifest_says(realmnet: Command, tiny_bundle: Path) -> None:
    done = realmnet("info", tiny_bundle, "--json")
    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    assert [each["name"] for each in answer["manifest"]["variants"]] == [
        "onnxruntime-int8",
        "onnxruntime-fp32",
        "openvino-int8",
        "openvino-fp32",
    ]
    assert answer["here"]["variant"] in {v["name"] for v in answer["manifest"]["variants"]}
    table = realmnet("info", tiny_bundle).out
    assert answer["bundle_sha256"] in table
    assert "A test model: says nothing." in table


@pytest.mark.usefixtures("an_engine")
def test_selftest_passes_and_fails_with_its_code(
    realmnet: Command, tiny_bundle: Path, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    done = realmnet("selftest", tiny_bundle, "--allow-unsigned", "--json")
    assert (done.code, done.err) == (0, "")
    answer = json.loads(done.out)
    assert answer["passed"]
    assert answer["largest"]["tensor"] == 0
    other = make_bundle(tmp_path / "b.realmnet", box_off_by=9)
    failed = realmnet("selftest", other, "--allow-unsigned", "--json")
    assert failed.code == 4
    assert not json.loads(failed.out)["passed"]
    assert "box deviates by 9" in failed.one_line()


@pytest.mark.usefixtures("an_engine")
def test_doctor_in_json(realmnet: Command, an_engine: str) -> None:
    done = realmnet("doctor", "--json")
    assert (done.code, done.err) == (0, "")
    report = json.loads(done.out)
    assert report["runtime"] == __version__
    assert any(engine["loads"] and engine["name"] == an_engine for engine in report["engines"])
