"""Engines report nothing about their use.

`import openvino` alone sends an event to a measurement service and leaves an identifier in the
user's home folder, through the package `openvino_telemetry`, unless the user has opted out by hand
(docs.openvino.ai, "OpenVINO telemetry"); NNCF does likewise. Both do without that package: where
its import fails, an object that does nothing takes its place. So its import is made to fail.

ONNX Runtime 1.29 and newer, on Linux and macOS too, keeps an identifier and a database of events in
the user's cache and sends them to its maker, unless a variable of the environment says otherwise
before it is initialised (its Privacy.md, "Disabling Telemetry"). So the variable is set.
"""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any, Final, cast

_PACKAGE: Final = "openvino_telemetry"
_VARIABLE: Final = "ORT_DISABLE_TELEMETRY"


def silence_openvino() -> None:
    """Keep OpenVINO and NNCF from reporting; to be called before either is imported.

    Where the program has imported one of them before, what reports is made to send nothing more.
    """
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    if modules.setdefault(_PACKAGE, None) is not None:
        # OpenVINO's and NNCF's own objects exist already; all of them send through this class
        importlib.import_module(f"{_PACKAGE}.utils.sender").TelemetrySender.send = _send_nothing


def silence_onnxruntime() -> None:
    """Keep ONNX Runtime from reporting; to be called before it is imported.

    Where the program has imported it before, it may have reported its start; the backend then has
    it send nothing more.
    """
    os.environ[_VARIABLE] = "1"


def _send_nothing(*_: Any) -> None:  # noqa: ANN401 - the package's own types
    """Take the place of `TelemetrySender.send`."""
