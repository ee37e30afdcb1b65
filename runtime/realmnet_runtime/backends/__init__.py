"""Engines behind one seam: `infer` and `close`, found by name in one literal table."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Final, cast

import msgspec

from realmnet_runtime._version import __version__
from realmnet_runtime.backends._contract import (
    Backend,
    BackendFactory,
    EngineFacts,
    EngineRequest,
    Preparer,
    version_key,
)
from realmnet_runtime.backends._telemetry import silence_openvino
from realmnet_runtime.backends._threads import default_threads
from realmnet_runtime.errors import BackendUnavailable, IncompatibleError, UsageError
from realmnet_runtime.manifest import Engine
from realmnet_runtime.suggestions import nearest

__all__ = [
    "AUTO_ORDER",
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
    "silence_openvino",
]


class EngineEntry(msgspec.Struct, frozen=True):
    """Where an engine's class is, which library it needs, and the extra that brings it."""

    factory: str
    library: str
    extra: str


ENGINES: Final[dict[str, EngineEntry]] = {
    "openvino": EngineEntry(
        "realmnet_runtime.backends._openvino:OpenVinoBackend", "openvino", "openvino"
    ),
    "onnxruntime": EngineEntry(
        "realmnet_runtime.backends._onnxruntime:OnnxRuntimeBackend", "onnxruntime", "onnxruntime"
    ),
}

AUTO_ORDER: Final[tuple[str, ...]] = tuple(ENGINES)
"""Order in which `auto` asks: OpenVINO is the faster of the two on x86 at every precision."""

PREPARERS: Final[dict[str, str]] = {
    "openvino": "realmnet_runtime.backends._openvino:OpenVinoPreparer",
}
"""Engines that can keep what they compiled, and the class of each that does it."""

_LATER: Final = ("tensorrt",)


def known_engine(name: str) -> Engine:
    """The name, if it is an engine's.

    Raises:
        BackendUnavailable: the engine is known, but this release has no backend for it.
        UsageError: there is no such engine.
    """
    if name in _LATER:
        raise BackendUnavailable(
            f"engine '{name}' has no backend in realmnet-runtime {__version__}; a later release "
            f"brings it; use {' or '.join(ENGINES)}"
        )
    if name not in ENGINES:
        raise UsageError(
            f"no engine '{name}'; there are auto, {', '.join(ENGINES)}"
            f"{nearest(name, ['auto', *ENGINES, *_LATER])}"
        )
    return cast("Engine", name)


def installed_engines() -> frozenset[str]:
    """Engines whose library is installed, without importing it."""
    return frozenset(
        name for name, entry in ENGINES.items() if importlib.util.find_spec(entry.library)
    )


def load_engine(name: str) -> BackendFactory:
    """Import an engine's class, and with it the engine.

    Raises:
        BackendUnavailable: not installed, or installed and not loadable.
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
    if importlib.util.find_spec(entry.library) is None:
        raise BackendUnavailable(
            f"engine '{name}' is not installed; pip install 'realmnet-runtime[{entry.extra}]'"
        )
    module, _, attribute = target.partition(":")
    silence_openvino()
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, OSError) as error:
        raise BackendUnavailable(
            f"engine '{name}' is installed but does not load ({' '.join(str(error).split())}); "
            f"pip install --force-reinstall 'realmnet-runtime[{entry.extra}]'"
        ) from error
    return cast("Callable[..., object]", found)


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
    name: str, compiled: bytes, request: EngineRequest, oldest_engine: str
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
