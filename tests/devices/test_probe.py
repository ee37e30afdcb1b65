"""The probe against what the system and the libraries say of themselves."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import msgspec
import psutil
import pytest
from typer.testing import CliRunner

from realmnet_devices.commands import devices
from realmnet_devices.engines import EngineState, probe_engine
from realmnet_devices.probe import Host, probe_host
from realmnet_runtime.backends import ENGINES, installed_engines
from realmnet_runtime.cpu import INSTRUCTION_SETS


@pytest.fixture(scope="module")
def host() -> Host:
    return probe_host()


def test_the_host_is_what_the_system_says(host: Host) -> None:
    assert host.architecture == platform.machine()
    assert host.python == ".".join(map(str, sys.version_info[:3]))
    assert 1 <= host.usable_cores <= host.logical_cores
    assert host.physical_cores is None or host.physical_cores <= host.logical_cores
    assert host.memory_mib * 2**20 == pytest.approx(psutil.virtual_memory().total, abs=2**20)
    assert set(host.instruction_sets) <= INSTRUCTION_SETS
    assert host.processor


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_usable_cores_follow_the_affinity() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert probe_host().usable_cores == 1
    finally:
        os.sched_setaffinity(0, before)


def test_installed_engines_load_with_their_version(host: Host) -> None:
    loaded = {engine.name: engine.version for engine in host.engines if engine.fault is None}
    # an engine that runs on a device may be installed where there is none
    needing_a_device = {name for name, entry in ENGINES.items() if entry.device}
    assert set(loaded) | needing_a_device == installed_engines() | needing_a_device
    for name, found in loaded.items():
        assert found is not None
        assert found.startswith(version(ENGINES[name].module))


def test_an_engine_that_does_not_load_says_why_and_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libgomp.so.1 is missing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    state = probe_engine("onnxruntime")
    assert state.version is None
    assert state.fault is not None
    assert "libgomp.so.1 is missing" in state.fault
    assert "pip install" in state.fault


def test_an_engine_that_kills_its_process_is_named_with_the_signal(tmp_path: Path) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\nkill -ILL $$\n")
    interpreter.chmod(0o755)
    state = probe_engine("openvino", str(interpreter))
    assert state == EngineState("openvino", None, "its process was killed by SIGILL")


def test_json_decodes_to_the_same_type_and_the_table_has_a_line_a_fact(host: Host) -> None:
    printed = CliRunner().invoke(devices, ["probe", "--json"])
    assert printed.exit_code == 0
    assert msgspec.json.decode(printed.stdout, type=Host) == host
    table = CliRunner().invoke(devices, ["probe"])
    assert table.exit_code == 0
    for engine in host.engines:
        assert f"{engine.name} " in table.stdout
    assert host.processor in table.stdout
