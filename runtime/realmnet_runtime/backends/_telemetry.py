"""OpenVINO reports nothing about its use.

`import openvino` alone sends an event to a measurement service and leaves an identifier in the
user's home folder, through the package `openvino_telemetry`, unless the user has opted out by hand
(docs.openvino.ai, "OpenVINO telemetry"); NNCF does likewise. Both do without that package: where
its import fails, an object that does nothing takes its place. So its import is made to fail.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Final, cast

_PACKAGE: Final = "openvino_telemetry"


def silence_openvino() -> None:
    """Keep OpenVINO and NNCF from reporting; to be called before either is imported.

    Where the program has imported one of them before, what reports is made to send nothing more.
    """
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    if modules.setdefault(_PACKAGE, None) is not None:
        # OpenVINO's and NNCF's own objects exist already; all of them send through this class
        importlib.import_module(f"{_PACKAGE}.utils.sender").TelemetrySender.send = _send_nothing


def _send_nothing(*_: Any) -> None:  # noqa: ANN401 - the package's own types
    """Take the place of `TelemetrySender.send`."""
