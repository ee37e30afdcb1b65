"""The least a process can do with ONNX Runtime: import, load a model, run it on zeros, wait.

    python bare_onnxruntime.py MODEL THREADS

Needs numpy and onnxruntime.
"""

from __future__ import annotations

import os
import sys

# else the library reports its start to its maker
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime

model, threads = sys.argv[1:3]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = int(threads)
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
shape = session.get_inputs()[0].shape
answer = session.run(["logits"], {session.get_inputs()[0].name: np.zeros(shape, np.float32)})[0]
sys.stdout.write(f"answered {answer.size}\n")
sys.stdout.flush()
sys.stdin.readline()
