"""Which engines truly load on this machine.

Each is imported in a process of its own: a library built for instructions this CPU lacks does not
raise, it kills the process that imports it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Final

import msgspec

from realmnet_runtime.backends import ENGINES

_SCRIPT: Final = (
    "import importlib, sys; from realmnet_runtime.backends import load_engine; "
    "load_engine(sys.argv[1]); print(importlib.import_module(sys.argv[2]).__version__)"
)
_LONGEST_S: Final = 60.0


class EngineState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One engine of the runtime on this machine.

    Attributes:
        name: as in a bundle's manifest.
        version: of the library that loaded, None where none did.
        fault: one line on why it did not load, None where it did.
    """

    name: str
    version: str | None
    fault: str | None


def probe_engines() -> tuple[EngineState, ...]:
    """State of every engine the runtime knows, in the order `auto` asks them."""
    return tuple(probe_engine(name) for name in ENGINES)


def probe_engine(name: str, interpreter: str = sys.executable) -> EngineState:
    """Load one engine in a fresh process.

    Args:
        name: of the engine.
        interpreter: Python that imports it.
    """
    library = ENGINES[name].module
    try:
        done = subprocess.run(
            [interpreter, "-c", _SCRIPT, name, library],
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return EngineState(name, None, f"did not load within {_LONGEST_S:.0f} s")
    except OSError as error:
        return EngineState(name, None, f"no process for it could be started ({error.strerror})")
    if done.returncode == 0:
        # OpenVINO puts its build and commit behind the release number.
        return EngineState(name, done.stdout.split()[-1].split("-", maxsplit=1)[0], None)
    if done.returncode < 0:
        return EngineState(name, None, f"its process was killed by {_signal(-done.returncode)}")
    last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
    # "package.module.ErrorName: message" reads better without the path of the class.
    return EngineState(
        name, None, (last[0].partition(": ")[2] or last[0]) if last else "no reason given"
    )


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
