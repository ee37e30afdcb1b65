"""Memory that runs out while calibrating: one line, its exit code, and nothing written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from realmnet_compression.memory import within_memory
from realmnet_runtime.errors import ConfigurationError, IncompatibleError
from realmnet_training.fitting.faults import OutOfMemory

STARVED = """
import resource, sys
from pathlib import Path
import numpy as np
from realmnet_compression.quantisation.quantise import QuantiseSettings, quantise
from realmnet_runtime.errors import RealmnetError

source, out = Path(sys.argv[1]), Path(sys.argv[2])
tensors = [np.zeros((1, 3, 64, 64), np.float32)] * 4
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    quantise(source, out, tensors, settings=QuantiseSettings(threads=1))
except RealmnetError as error:
    sys.stderr.write(f"{error}\\n")
    sys.exit(error.exit_code)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits and counts memory as Linux does")
@pytest.mark.parametrize("left", [8_000_000, 80_000_000])
def test_calibration_under_a_memory_limit_says_so(
    exported: Path, tmp_path: Path, left: int
) -> None:
    out = tmp_path / "int8.onnx"

    done = subprocess.run(
        [sys.executable, "-c", STARVED, str(exported), str(out), str(left)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "calibrating on 4 pictures ran out of memory; free some memory, raise the limit it runs "
        "under, or use a machine with more; nothing was written"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("Failed to allocate memory for requested buffer of size 4096"),
        ConfigurationError("'a.onnx' is no ONNX file (Arena alloc failed); make one with it"),
        IncompatibleError("onnxruntime 1.20 cannot load the model: bad allocation; use another"),
    ],
)
def test_every_way_of_saying_it_is_understood(error: Exception) -> None:
    with (
        pytest.raises(OutOfMemory, match="measuring ran out of memory; cure; nothing"),
        within_memory("measuring", "cure"),
    ):
        raise error


def test_other_errors_pass_through() -> None:
    with pytest.raises(RuntimeError, match="another"), within_memory("measuring", "cure"):
        raise RuntimeError("another")
