"""The least a process can do with OpenVINO: import, load a model, run it once on zeros, wait.

    python bare_openvino.py MODEL THREADS CACHE_DIR

With a cache directory OpenVINO's own model cache is used, filled by the first run. Needs numpy and
openvino.
"""

from __future__ import annotations

import sys

# its import would report to a measurement service, which takes time
sys.modules["openvino_telemetry"] = None

import numpy as np  # noqa: E402
import openvino  # noqa: E402

model, threads, cache = sys.argv[1:]
core = openvino.Core()
settings = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    "INFERENCE_NUM_THREADS": int(threads),
    "INFERENCE_PRECISION_HINT": "f32",
    "CACHE_DIR": cache,
}
compiled = core.compile_model(model, "CPU", settings)
answer = compiled([np.zeros(compiled.input(0).shape, np.float32)])["logits"]
sys.stdout.write(f"answered {answer.size}\n")
sys.stdout.flush()
sys.stdin.readline()
