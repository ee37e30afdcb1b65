"""One answer of a real predictor, and a log that holds it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Prediction, Predictor
from realmnet_runtime.audit import AuditLog
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.errors import NoFieldOfView
from realmnet_runtime.signatures.trust import ANY_BUNDLE


@pytest.fixture(scope="package")
def prediction(tiny_bundle: Path, eye: NDArray[np.uint8]) -> Prediction:
    if not installed_engines():
        pytest.skip("no engine installed")
    with Predictor.open(tiny_bundle, threads=1, trust=ANY_BUNDLE) as predictor:
        return predictor.predict(eye)


@pytest.fixture(scope="package")
def log_bytes(prediction: Prediction, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A header, two answers and three refusals."""
    path = tmp_path_factory.mktemp("log") / "audit.jsonl"
    log = AuditLog(path)
    for _ in range(2):
        log.append(prediction)
    for digest in ("a" * 64, None, "c" * 64):
        log.append_refusal(digest, NoFieldOfView("a message that may name record-4711"))
    return path.read_bytes()


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / "audit.jsonl"
        path.write_bytes(content)
        return path

    return write
