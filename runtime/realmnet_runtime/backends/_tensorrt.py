"""TensorRT or TensorRT-RTX on an NVIDIA GPU.

The model is the bundle's ONNX file; what runs is an engine that was built from it for this very
machine (`realmnet_compression.build_tensorrt`) and found by its key. Nothing is built here and no
engine of another machine is loaded: there is no silent second choice.

Up to the check of the key everything was executed without a GPU. `_Execution` was not executed
here: it needs an NVIDIA driver and GPU. It was reviewed against the Python API of TensorRT 10 and
11 and of TensorRT-RTX 1.7, and uses only calls that all three have.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

import numpy as np

from realmnet_runtime.backends._contract import (
    LOGITS,
    SCORE_MAPS,
    EngineFacts,
    EngineRequest,
    Float32Array,
    check_precision,
    check_signature,
    check_tensor,
    refuse_weights,
)
from realmnet_runtime.backends._cuda import DeviceArray, Stream, find_device
from realmnet_runtime.backends._engine_key import (
    EngineKey,
    EngineRecord,
    Library,
    engine_folder,
    find_engine,
)
from realmnet_runtime.errors import BackendUnavailable, IncompatibleError, UsageError
from realmnet_runtime.files import sha256_of

MODULES: Final[dict[Library, str]] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
"""Python module of each library, in the order they are asked for."""


class ErrorLog(Protocol):
    """What a library reported as an error, one line each, oldest first."""

    errors: list[str]


class TensorRtBackend:
    """A model in TensorRT or TensorRT-RTX; see `Backend`.

    Args:
        model: bytes of the ONNX file from which the engine was built.
        weights: none; see `refuse_weights`.
        request: as for every engine; `threads` is of no consequence on a GPU.
        folder: where engines are kept; `engine_folder()` where None.
    """

    def __init__(
        self,
        model: bytes,
        request: EngineRequest,
        weights: bytes = b"",
        *,
        folder: Path | None = None,
    ) -> None:
        refuse_weights("tensorrt", weights)
        self._size = request.size
        library, module = import_library(*MODULES)
        here = key_of_this_machine(library, module, sha256_of(model))
        plan, record = find_engine(folder or engine_folder(), here)
        self._facts = _facts(here, record)
        check_precision(self._facts, request)
        self._execution: _Execution | None = _Execution(module, plan, request)

    @property
    def facts(self) -> EngineFacts:
        """What runs, as recorded when the engine was built."""
        return self._facts

    def infer(
        self,
        tensor: Float32Array,
        seconds: float | None = None,  # noqa: ARG002
    ) -> tuple[Float32Array, Float32Array]:
        """Run the model once; see `Backend.infer`. What was handed to a GPU cannot be stopped."""
        if self._execution is None:
            raise UsageError("this tensorrt backend is closed; open the predictor again")
        check_tensor(tensor, self._size)
        return self._execution.run(np.ascontiguousarray(tensor))

    def close(self) -> None:
        """Free the model; closing twice does nothing."""
        execution, self._execution = self._execution, None
        if execution is not None:
            execution.close()


def import_library(*wanted: Library) -> tuple[Library, ModuleType]:
    """Import the first of these libraries that is installed.

    Returns:
        Its name and its module.

    Raises:
        BackendUnavailable: none is installed, or the one that is does not load.
    """
    for library in wanted:
        if importlib.util.find_spec(MODULES[library]) is not None:
            return library, _import(library)
    cures = " or ".join(f"pip install 'realmnet-runtime[{library}]'" for library in wanted)
    raise BackendUnavailable(f"{' and '.join(wanted)} not installed; {cures}")


def key_of_this_machine(library: Library, module: ModuleType, onnx_sha256: str) -> EngineKey:
    """Key of an engine that was built here from a file.

    Raises:
        BackendUnavailable: no driver or no GPU.
    """
    device = find_device()
    return EngineKey(
        built_with=library,
        built_with_version=str(module.__version__),
        gpu=device.name,
        compute_capability=device.compute_capability,
        driver=device.driver,
        onnx_sha256=onnx_sha256,
    )


@functools.cache
def library_log(module: ModuleType) -> ErrorLog:
    """The one log of a library in this process: it keeps errors instead of printing them.

    The library hands every message to the first log it was given, so there is one, and who reads
    it empties it before: `log.errors.clear()`.

    Returns:
        An `ILogger` of the library.
    """
    base: Any = module.ILogger
    graver = (module.ILogger.Severity.INTERNAL_ERROR, module.ILogger.Severity.ERROR)

    class Log(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: object, msg: str) -> None:
            if severity in graver:
                self.errors.append(" ".join(msg.split()))

    return Log()


class _Execution:
    """A loaded engine, its queue and its memory on the GPU. Not executed here.

    Args:
        module: the library.
        plan: engine whose key was found to be this machine's.
        request: what it must take and answer.
    """

    def __init__(self, module: ModuleType, plan: bytes, request: EngineRequest) -> None:
        log = library_log(module)
        log.errors.clear()
        self._runtime = module.Runtime(log)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise _not_loaded(module, log.errors)
        shapes = self._shapes(module, module.TensorIOMode.INPUT)
        answers = self._shapes(module, module.TensorIOMode.OUTPUT)
        check_signature(shapes, answers, request)
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise _not_loaded(module, log.errors)
        (self._input,) = shapes
        self._stream = Stream()
        self._arrays = {name: DeviceArray(shape) for name, shape in (shapes | answers).items()}
        for name, array in self._arrays.items():
            self._context.set_tensor_address(name, array.address)

    def run(self, tensor: Float32Array) -> tuple[Float32Array, Float32Array]:
        """Answer a C-contiguous (1, 3, S, S) float32 tensor."""
        self._arrays[self._input].upload(tensor, self._stream)
        if not self._context.execute_async_v3(self._stream.handle):
            raise IncompatibleError("tensorrt could not run the engine; build it again here")
        answers = [self._arrays[name].download(self._stream) for name in (LOGITS, SCORE_MAPS)]
        self._stream.synchronise()
        return answers[0], answers[1]

    def close(self) -> None:
        """Free everything, what depends on another first."""
        del self._context
        for array in self._arrays.values():
            array.close()
        self._stream.close()
        del self._engine
        del self._runtime

    def _shapes(self, module: ModuleType, mode: object) -> dict[str, tuple[int, ...]]:
        """Shape by name; only float32 tensors are asked or answered by files of ours."""
        names = [self._engine.get_tensor_name(at) for at in range(self._engine.num_io_tensors)]
        kinds = {name: self._engine.get_tensor_dtype(name) for name in names}
        if any(kind != module.float32 for kind in kinds.values()):
            raise IncompatibleError(
                f"engine takes or answers {_listed(kinds.values())}; float32 is needed: build it "
                f"from a file of `realmnet export`"
            )
        return {
            name: tuple(self._engine.get_tensor_shape(name))
            for name in names
            if self._engine.get_tensor_mode(name) == mode
        }


def _facts(here: EngineKey, record: EngineRecord) -> EngineFacts:
    return EngineFacts(
        engine="tensorrt",
        version=here.built_with_version,
        precision=record.precision,
        precision_from="settings",
        threads=1,
        products=record.products,
        settings={
            "library": here.built_with,
            "gpu": here.gpu,
            "compute_capability": here.compute_capability,
            "driver": str(here.driver),
            "engine_sha256": record.engine_sha256,
        },
    )


def _import(library: Library) -> ModuleType:
    try:
        return importlib.import_module(MODULES[library])
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendUnavailable(
            f"{library} is installed but does not load ({' '.join(str(error).split())}); "
            f"pip install --force-reinstall 'realmnet-runtime[{library}]'"
        ) from error


def _not_loaded(module: ModuleType, errors: list[str]) -> IncompatibleError:
    reason = errors[-1] if errors else "no reason given"
    return IncompatibleError(
        f"{module.__name__} {module.__version__} cannot load the engine: {reason}; free the GPU's "
        f"memory or build the engine again on this machine"
    )


def _listed(kinds: Iterable[object]) -> str:
    return ", ".join(sorted({str(kind) for kind in kinds}))
