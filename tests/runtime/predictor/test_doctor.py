"""What the doctor says of this machine, and of a machine with two wheels of one library."""

from __future__ import annotations

import importlib

from realmnet_runtime.backends import ENGINES, installed_engines
from realmnet_runtime.cpu import instruction_sets
from realmnet_runtime.proof.doctor import conflicting_wheels, examine


def test_two_wheels_of_one_library_are_flagged() -> None:
    lines = conflicting_wheels(
        {
            "cv2": ["opencv-python", "opencv-python-headless"],
            "onnxruntime": ["onnxruntime-gpu", "onnxruntime"],
            "numpy": ["numpy", "numpy-quaternion"],
        }
    )
    assert len(lines) == 2
    assert "opencv-python, opencv-python-headless" in lines[0]
    assert "pip uninstall onnxruntime onnxruntime-gpu" in lines[1]


def test_one_wheel_listed_twice_is_one() -> None:
    assert conflicting_wheels({"cv2": ["opencv-python", "opencv-python"]}) == []


def test_the_engines_named_are_those_that_load() -> None:
    report = examine()
    assert tuple(engine.name for engine in report.engines) == tuple(ENGINES)
    for engine in report.engines:
        installed = engine.name in installed_engines()
        if engine.loads:
            assert installed
            library = importlib.import_module(ENGINES[engine.name].module)
            assert engine.version is not None
            assert library.__version__.startswith(engine.version)
        else:
            assert engine.problem is not None
            assert installed or "pip install" in engine.problem
            # only an engine that runs on a device may be installed and not load
            assert not installed or ENGINES[engine.name].device
    assert set(report.instruction_sets) == instruction_sets()
