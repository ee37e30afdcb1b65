"""Engines behind one seam: `infer` and `close`, found by name in one literal table."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Final, cast

import msgspec

from realmnet_runtime.backends._contract import (
    Backend,
    BackendFactory,
    EngineFacts,
    EngineRequest,
    Preparer,
    version_key,
)
from realmnet_runtime.backends._telemetry import silence_onnxruntime, silence_openvino
from realmnet_runtime.backends._threads import default_threads
from realmnet_runtime.bundles.manifest import Engine
from realmnet_runtime.errors import BackendUnavailable, IncompatibleError, UsageError
from realmnet_runtime.suggestions import nearest

__all__ = [
    "AUTO_ORDER",
    "BUILT_BEFORE",
    "ENGINES",
    "PREPARERS",
    "Backend",
    "EngineEntry",
    "EngineFacts",
    "EngineRequest",
    "Preparer",
    "default_threads",
    "installed_engines",
    "known_engine",
    "load_engine",
    "load_preparer",
    "open_backend",
    "require_new_enough",
    "restore_backend",
    "silence_onnxruntime",
    "silence_openvino",
]


class EngineEntry(msgspec.Struct, frozen=True):
    """Where an engine's class is and what it needs.

    Attributes:
        factory: `module:class`.
        extras: extra that brings each library with which it runs, by the library's module; of
            several the first that is installed is used.
        device: `module:function` that raises BackendUnavailable where the machine lacks the
            device the engine runs on; empty for engines that run on any CPU.
    """

    factory: str
    extras: dict[str, str]
    device: str = ""

    @property
    def module(self) -> str:
        """Module of the library it runs with: the first installed one, else the first."""
        names = list(self.extras)
        return next((name for name in names if importlib.util.find_spec(name)), names[0])

    @property
    def extra(self) -> str:
        """Extra that brings `module`."""
        return self.extras[self.module]

    @property
    def cure(self) -> str:
        """How to install it, in words."""
        return " or ".join(f"pip install 'realmnet-runtime[{e}]'" for e in self.extras.values())


ENGINES: Final[dict[str, EngineEntry]] = {
    "openvino": EngineEntry(
        "realmnet_runtime.backends._openvino:OpenVinoBackend", {"openvino": "openvino"}
    ),
    "onnxruntime": EngineEntry(
        "realmnet_runtime.backends._onnxruntime:OnnxRuntimeBackend", {"onnxruntime": "onnxruntime"}
    ),
    "tensorrt": EngineEntry(
        "realmnet_runtime.backends._tensorrt:TensorRtBackend",
        {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"},
        device="realmnet_runtime.backends._cuda:find_device",
    ),
}

AUTO_ORDER: Final[tuple[str, ...]] = ("openvino", "onnxruntime")
"""Order in which `auto` asks: OpenVINO is the faster of the two on x86 at every precision.

TensorRT is not asked: it runs only where an engine was built first, so somebody chose it by name.
"""

PREPARERS: Final[dict[str, str]] = {
    "openvino": "realmnet_runtime.backends._openvino:OpenVinoPreparer",
}
"""Engines that can keep what they compiled, and the class of each that does it."""

BUILT_BEFORE: Final = frozenset({"tensorrt"})
"""Engines that compile nothing on the device: what they run was built before, or is refused."""


def known_engine(name: str) -> Engine:
    """The name, if it is an engine's.

    Raises:
        UsageError: there is no such engine.
    """
    if name not in ENGINES:
        raise UsageError(
            f"no engine '{name}'; there are auto, {', '.join(ENGINES)}"
            f"{nearest(name, ['auto', *ENGINES])}"
        )
    return cast("Engine", name)


def installed_engines() -> frozenset[str]:
    """Engines whose library is installed, without importing it."""
    return frozenset(
        name for name, entry in ENGINES.items() if importlib.util.find_spec(entry.module)
    )


def load_engine(name: str) -> BackendFactory:
    """Import an engine's class, and with it the engine.

    Raises:
        BackendUnavailable: not installed, installed and not loadable, or without its device.
        UsageError: there is no such engine.
    """
    return cast("BackendFactory", _import(name, ENGINES[known_engine(name)].factory))


def load_preparer(name: str) -> Preparer:
    """Import what prepares an engine's models, and with it the engine.

    Raises:
        BackendUnavailable: not installed, or installed and not loadable.
        UsageError: there is no such engine, or it compiles nothing worth keeping.
    """
    if known_engine(name) not in PREPARERS:
        raise UsageError(
            f"engine '{name}' compiles nothing that can be kept; {' and '.join(PREPARERS)} can be "
            f"prepared"
        )
    return cast("Preparer", _import(name, PREPARERS[name])())


def _import(name: str, target: str) -> Callable[..., object]:
    entry = ENGINES[name]
    if importlib.util.find_spec(entry.module) is None:
        raise BackendUnavailable(f"engine '{name}' is not installed; {entry.cure}")
    silence_openvino()
    silence_onnxruntime()
    try:
        found = _named(target)
        importlib.import_module(entry.module)
    except (ImportError, OSError) as error:
        raise BackendUnavailable(
            f"engine '{name}' is installed but does not load ({' '.join(str(error).split())}); "
            f"pip install --force-reinstall 'realmnet-runtime[{entry.extra}]'"
        ) from error
    if entry.device:
        _named(entry.device)()
    return found


def _named(place: str) -> Callable[..., object]:
    """What is at `module:name`."""
    module, _, attribute = place.partition(":")
    found: Callable[..., object] = getattr(importlib.import_module(module), attribute)
    return found


def open_backend(
    name: str,
    model: bytes,
    request: EngineRequest,
    oldest_engine: str,
    weights: bytes = b"",
) -> Backend:
    """Load a model into an engine and read back how it will run.

    Args:
        name: of the engine.
        model: bytes of the model file, already verified.
        request: precision, threads, input size and label count the model must have.
        oldest_engine: lowest engine version the file was made for.
        weights: bytes of the model's second file, verified likewise; empty where it has none.

    Raises:
        BackendUnavailable: the engine is absent.
        IncompatibleError: the engine is too old, cannot load the model, or would run it otherwise
            than the request says.
    """
    return require_new_enough(name, load_engine(name)(model, request, weights), oldest_engine)


def restore_backend(
    name: str, compiled: bytes | bytearray, request: EngineRequest, oldest_engine: str
) -> Backend:
    """Load what an engine compiled before, and read back how it will run.

    Args:
        name: of the engine.
        compiled: what its preparer returned, already verified: the engine executes it.
        request: as it was prepared for.
        oldest_engine: as for `open_backend`.

    Raises:
        BackendUnavailable: the engine is absent.
        IncompatibleError: the engine is too old, refuses it, or would run it otherwise.
        UsageError: the engine compiles nothing that can be kept.
    """
    return require_new_enough(name, load_preparer(name).restore(compiled, request), oldest_engine)


def require_new_enough(name: str, backend: Backend, oldest_engine: str) -> Backend:
    """The backend, where its engine is new enough; closed where it is not.

    Raises:
        IncompatibleError: the engine is older.
    """
    facts = backend.facts
    if version_key(facts.version) < version_key(oldest_engine):
        backend.close()
        raise IncompatibleError(
            f"bundle needs {name} {oldest_engine} or newer; {facts.version} is installed; "
            f"pip install --upgrade 'realmnet-runtime[{ENGINES[name].extra}]'"
        )
    return backend
