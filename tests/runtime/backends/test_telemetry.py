"""No engine sends anything or leaves anything in the user's home."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from realmnet_runtime.backends import installed_engines

# not importorskip: once an engine is loaded in this process the package cannot be imported
of_openvino = pytest.mark.skipif(
    not list(importlib.metadata.distributions(name="openvino-telemetry")),
    reason="OpenVINO's telemetry is not installed",
)

LOADED_BY_US = """
from realmnet_runtime.backends import load_engine
load_engine("openvino")
import openvino.tools.ovc.convert_impl as conversion
import openvino.tools.ovc.telemetry_utils as reporting
for module in (conversion, reporting):
    assert module.tm.__name__ == "openvino.tools.ovc.telemetry_stub", module.tm
"""

LOADED_BEFORE = """
import openvino
import openvino_telemetry
from realmnet_runtime.backends import silence_openvino
telemetry = openvino_telemetry.Telemetry()
sent = []
telemetry.backend.send = sent.append
telemetry.send_event("ov", "a", "label", force_send=True)
silence_openvino()
telemetry.send_event("ov", "b", "label", force_send=True)
telemetry.sender.executor.shutdown(wait=True)
assert len(sent) == 1, sent
"""


@of_openvino
@pytest.mark.parametrize(
    ("program", "surroundings"),
    [(LOADED_BY_US, {"CI": ""}), (LOADED_BEFORE, {"CI": "true"})],
    ids=["loaded by us", "loaded before us"],
)
def test_nothing_is_sent(program: str, surroundings: dict[str, str], tmp_path: Path) -> None:
    # without "CI" OpenVINO reports; with it nothing of this test leaves the machine
    environment = {**os.environ, **surroundings, "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if "openvino" in path.name] == []


# Without the variables of a build server or of a test, which silence it too.
SESSION = """
import sys
from realmnet_runtime import Predictor, Trust
trust = Trust(unsigned="allow")
Predictor.open(sys.argv[1], engine="onnxruntime", threads=1, trust=trust).close()
"""


@pytest.mark.skipif("onnxruntime" not in installed_engines(), reason="it is not installed")
def test_onnxruntime_leaves_nothing_in_the_home(tiny_bundle: Path, tmp_path: Path) -> None:
    silencers = ("CI", "ORT_DISABLE_TELEMETRY", "PYTEST_CURRENT_TEST", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in silencers}
    subprocess.run(
        [sys.executable, "-c", SESSION, str(tiny_bundle)],
        env={**environment, "HOME": str(tmp_path)},
        capture_output=True,
        check=True,
    )
    assert list(tmp_path.rglob("*")) == []
