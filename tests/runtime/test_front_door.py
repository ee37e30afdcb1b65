"""What the runtime shows, what it brings in, and that nothing leaves the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import realmnet_runtime
from realmnet_runtime.backends import installed_engines

FORBIDDEN = ("torch", "timm", "lightning", "onnx", "nncf", "pandas", "scipy", "sklearn")
ENGINES = ("onnxruntime", "openvino", "tensorrt")
DICOM = ("pydicom", "highdicom")


def python(code: str, *arguments: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_all_is_sorted_and_is_every_public_member() -> None:
    public = {
        name
        for name in dir(realmnet_runtime)
        if not name.startswith("_")
        and name != "TYPE_CHECKING"
        and not isinstance(getattr(realmnet_runtime, name), ModuleType)
    }
    assert set(realmnet_runtime.__all__) == public | {"__version__"}
    in_order = [
        sorted(name for name in realmnet_runtime.__all__ if name.isupper()),
        sorted(n for n in realmnet_runtime.__all__ if not n.isupper() and n[0].isupper()),
        sorted(n for n in realmnet_runtime.__all__ if n[0].islower() or n[0] == "_"),
    ]
    assert [name for group in in_order for name in group] == realmnet_runtime.__all__


def test_each_name_is_imported_when_it_is_asked_for() -> None:
    code = (
        "import sys, realmnet_runtime\n"
        "before = set(sys.modules)\n"
        "assert not before & {'numpy', 'cv2', 'msgspec'}, before\n"
        "assert 'Predictor' in dir(realmnet_runtime)\n"
        "assert not hasattr(realmnet_runtime, 'Predicator')\n"
        "from realmnet_runtime import Predictor\n"
        "print(Predictor.__name__, *set(sys.modules) & {'numpy', 'cv2', 'msgspec'})"
    )
    assert set(python(code).split()) == {"Predictor", "numpy", "cv2", "msgspec"}


@pytest.mark.parametrize("module", ["realmnet_runtime", "realmnet_runtime.cli"])
def test_importing_brings_in_no_engine_and_nothing_of_training(module: str) -> None:
    code = (
        f"import sys, {module}\nfrom realmnet_runtime import *\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = set(python(code).split())
    assert {"numpy", "cv2", "msgspec"} <= loaded
    assert loaded.isdisjoint((*FORBIDDEN, *ENGINES, *DICOM, "typer", "rich"))


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_predicting_brings_in_one_engine_and_nothing_of_training(
    engine: str, tiny_bundle: Path, eye_png: bytes, tmp_path: Path
) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    picture = tmp_path / "eye.png"
    picture.write_bytes(eye_png)
    code = (
        "import sys\n"
        "from realmnet_runtime import Predictor, Trust\n"
        "trust = Trust(unsigned='allow')\n"
        "Predictor.open(sys.argv[1], engine=sys.argv[3], trust=trust).predict(sys.argv[2])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = set(python(code, str(tiny_bundle), str(picture), engine).split())
    assert engine in loaded
    assert loaded.isdisjoint((*FORBIDDEN, *DICOM, *(set(ENGINES) - {engine})))


OFFLINE = """
import sys
calls = []
sys.addaudithook(lambda event, arguments: calls.append(event) if event in {
    'socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'subprocess.Popen', 'os.system',
} else None)
from realmnet_runtime import Predictor, Trust
trust = Trust(unsigned='allow')
with Predictor.open(sys.argv[1], engine=sys.argv[3], trust=trust) as predictor:
    predictor.predict(sys.argv[2])
print(calls)
"""


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_nothing_leaves_the_machine(
    engine: str, tiny_bundle: Path, eye_png: bytes, tmp_path: Path
) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    picture = tmp_path / "eye.png"
    picture.write_bytes(eye_png)
    assert python(OFFLINE, str(tiny_bundle), str(picture), engine).strip() == "[]"


THREADS = """
import os, sys
import numpy as np
from realmnet_runtime.backends import EngineRequest, load_engine
name, path, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
factory = load_engine(name)
count = lambda: len(os.listdir('/proc/self/task'))
before = count()
request = EngineRequest(precision='fp32', threads=threads, size=64, labels=7)
backend = factory(open(path, 'rb').read(), request)
for _ in range(3):
    backend.infer(np.zeros((1, 3, 64, 64), np.float32))
print(count() - before, backend.facts.threads)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_an_engine_starts_no_more_threads_than_it_may(
    engine: str, threads: int, tiny_fp32: object, tmp_path: Path
) -> None:
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    model = tmp_path / "m.onnx"
    model.write_bytes(tiny_fp32.content)  # type: ignore[attr-defined]
    answer = python(THREADS, engine, str(model), str(threads), OPENBLAS_NUM_THREADS="1")
    added, reported = map(int, answer.split())
    # The caller computes too; OpenVINO keeps two threads that hand out work and compute nothing.
    assert added <= threads - 1 + (2 if engine == "openvino" else 0)
    assert 1 <= reported <= threads


def test_the_package_is_typed() -> None:
    assert (Path(realmnet_runtime.__file__).parent / "py.typed").is_file()
