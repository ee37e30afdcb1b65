"""The few calls to CUDA's runtime that a back end makes, by NVIDIA's own bindings.

Asking for a device was executed without one. What comes after a device was found was not executed
here: it needs an NVIDIA driver and GPU. It was reviewed against the documentation of the CUDA
runtime API as cuda.bindings 13 shows it.
"""

from __future__ import annotations

import importlib
import math
from types import ModuleType
from typing import Any, Final, SupportsInt

import msgspec
import numpy as np

from realmnet_runtime.backends._contract import Float32Array
from realmnet_runtime.errors import BackendUnavailable, IncompatibleError

_FIRST: Final = 0


class Device(msgspec.Struct, frozen=True):
    """A GPU: its name, compute capability such as `8.9`, and newest CUDA its driver offers."""

    name: str
    compute_capability: str
    driver: str


def find_device() -> Device:
    """The first GPU this process may see (`CUDA_VISIBLE_DEVICES` orders them).

    Raises:
        BackendUnavailable: the bindings, a driver or a GPU are missing; the one is named.
    """
    runtime = _runtime()
    error, count = runtime.cudaGetDeviceCount()
    if int(error) or not count:
        raise BackendUnavailable(
            f"no NVIDIA GPU can be used here ({_in_words(runtime, error)}); install NVIDIA's "
            f"driver, or choose engine openvino or onnxruntime"
        )
    # Not executed here, from here on.
    properties = _checked(runtime, runtime.cudaGetDeviceProperties(_FIRST))
    version = int(_checked(runtime, runtime.cudaDriverGetVersion()))
    return Device(
        name=properties.name.decode(errors="replace").rstrip("\0"),
        compute_capability=f"{properties.major}.{properties.minor}",
        driver=f"{version // 1000}.{version % 1000 // 10}",
    )


class Stream:
    """A queue of work on the GPU. Not executed here."""

    def __init__(self) -> None:
        self._runtime = _runtime()
        self._stream = _checked(self._runtime, self._runtime.cudaStreamCreate())

    @property
    def handle(self) -> int:
        """Address by which other libraries know the queue."""
        return int(self._stream)

    def synchronise(self) -> None:
        """Wait until all that was asked for is done."""
        _checked(self._runtime, self._runtime.cudaStreamSynchronize(self._stream))

    def close(self) -> None:
        """Free the queue."""
        _checked(self._runtime, self._runtime.cudaStreamDestroy(self._stream))


class DeviceArray:
    """A float32 array in the GPU's memory. Not executed here.

    Args:
        shape: of the array.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._runtime = _runtime()
        self._shape = shape
        self._bytes = math.prod(shape) * np.dtype(np.float32).itemsize
        self.address = int(_checked(self._runtime, self._runtime.cudaMalloc(self._bytes)))

    def upload(self, array: Float32Array, stream: Stream) -> None:
        """Copy a C-contiguous array of this shape here; it must live until the stream is done."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._copy(self.address, array.ctypes.data, kind, stream)

    def download(self, stream: Stream) -> Float32Array:
        """A new array that holds the content once the stream is done."""
        array = np.empty(self._shape, np.float32)
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(array.ctypes.data, self.address, kind, stream)
        return array

    def close(self) -> None:
        """Free the memory."""
        _checked(self._runtime, self._runtime.cudaFree(self.address))

    def _copy(self, target: int, source: int, kind: object, stream: Stream) -> None:
        copy = self._runtime.cudaMemcpyAsync
        _checked(self._runtime, copy(target, source, self._bytes, kind, stream.handle))


def _runtime() -> ModuleType:
    try:
        return importlib.import_module("cuda.bindings.runtime")
    except ImportError as error:
        raise BackendUnavailable(
            f"CUDA's bindings do not load ({' '.join(str(error).split())}); "
            f"pip install 'realmnet-runtime[tensorrt]' or 'realmnet-runtime[tensorrt-rtx]'"
        ) from error


def _checked(runtime: ModuleType, answer: tuple[Any, ...]) -> Any:  # noqa: ANN401 - untyped
    """The value of a call, whose first word is its error."""
    error, *values = answer
    if int(error):
        raise IncompatibleError(
            f"CUDA refused a call ({_in_words(runtime, error)}); free the GPU's memory, or choose "
            f"engine openvino or onnxruntime"
        )
    return values[0] if values else None


def _in_words(runtime: ModuleType, error: SupportsInt) -> str:
    if not int(error):
        return "none was found"
    text: bytes = runtime.cudaGetErrorString(error)[1]
    return text.decode(errors="replace")
