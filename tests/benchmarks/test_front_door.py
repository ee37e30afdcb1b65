"""Finding the demonstration bundle costs nothing, and metrics bring no library of training."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import realmnet_benchmarks
from realmnet_benchmarks import DEMONSTRATION_BUNDLE


def modules_after(statement: str) -> set[str]:
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_bundle_lies_in_the_package_and_is_found_without_numpy() -> None:
    assert Path(realmnet_benchmarks.__file__).parent == DEMONSTRATION_BUNDLE.parent
    assert DEMONSTRATION_BUNDLE.name == "demonstration.realmnet"
    heavy = {"numpy", "cv2", "scipy", "sklearn", "msgspec", "typer"}
    assert not heavy & modules_after("import realmnet_benchmarks")


@pytest.mark.parametrize(
    "module", ["metrics", "bootstrap", "records", "accuracy", "commands", "phantoms"]
)
def test_nothing_of_training_or_of_an_engine_is_imported(module: str) -> None:
    loaded = modules_after(f"import realmnet_benchmarks.{module}")
    assert not loaded & {"torch", "timm", "lightning", "onnx", "nncf", "pandas"}
    assert not loaded & {"onnxruntime", "openvino"}


def test_the_toolkit_offers_the_bundle_as_the_default_one() -> None:
    offers = {offer.value for offer in entry_points(group="realmnet.bundles")}
    if not offers:
        pytest.skip("the toolkit is not installed, only on the path")
    assert offers == {"realmnet_benchmarks:DEMONSTRATION_BUNDLE"}
