"""The tensorrt engine where its library or its device is missing.

Answers are in `test_contract`, which needs an NVIDIA GPU for this engine.
"""

from __future__ import annotations

import importlib.util

import pytest

from realmnet_runtime.backends import AUTO_ORDER, ENGINES, load_engine
from realmnet_runtime.backends import _cuda as cuda
from realmnet_runtime.backends._tensorrt import MODULES, import_library, library_log
from realmnet_runtime.errors import BackendUnavailable

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="TensorRT-RTX is not installed"
)


def has_device() -> bool:
    try:
        cuda.find_device()
    except BackendUnavailable:
        return False
    return True


def test_auto_does_not_choose_it() -> None:
    assert set(ENGINES) - set(AUTO_ORDER) == {"tensorrt"}
    assert tuple(ENGINES["tensorrt"].extras) == tuple(MODULES.values())


def test_without_a_library_both_are_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULES, "tensorrt", "realmnet_no_such_library")
    monkeypatch.setitem(MODULES, "tensorrt-rtx", "realmnet_no_such_library_either")

    with pytest.raises(BackendUnavailable) as caught:
        import_library(*MODULES)

    assert caught.value.exit_code == 3
    for extra in ("tensorrt", "tensorrt-rtx"):
        assert f"pip install 'realmnet-runtime[{extra}]'" in str(caught.value)


def test_a_library_that_does_not_load_says_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    (folder / "realmnet_broken_library.py").write_text("raise OSError('libcudart.so is missing')\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setitem(MODULES, "tensorrt", "realmnet_broken_library")

    with pytest.raises(BackendUnavailable, match=r"does not load \(libcudart\.so is missing\)"):
        import_library("tensorrt")


@needs_rtx
@pytest.mark.skipif(has_device(), reason="this machine has an NVIDIA GPU")
def test_without_a_driver_the_engine_is_unavailable() -> None:
    with pytest.raises(BackendUnavailable) as caught:
        load_engine("tensorrt")

    assert caught.value.exit_code == 3
    assert "NVIDIA" in str(caught.value) or "CUDA's bindings" in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_rtx
def test_errors_are_kept_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    _, module = import_library("tensorrt-rtx")
    log = library_log(module)
    log.errors.clear()
    builder = module.Builder(log)
    network = builder.create_network(0)  # the parser writes into it and does not keep it alive
    parser = module.OnnxParser(network, log)

    assert not parser.parse(b"no model")

    assert library_log(module) is log
    assert log.errors
    assert not any("\n" in line for line in log.errors)
    assert capfd.readouterr() == ("", "")
