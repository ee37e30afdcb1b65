"""Unpickling that builds plain containers and tensors' places, and runs nothing a file says.

Every class or function a pickle names becomes a stub that takes any call and holds nothing, but
for the few that torch needs to describe a tensor. Those describe it: no number is read here.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch

MAXIMUM_OPCODES: Final = 2_000_000
MAXIMUM_TUPLES: Final = 20_000
"""CPython hashes nested tuples by recursion in C: a million levels end the process."""
MAXIMUM_DIMENSIONS: Final = 8

_DTYPES: Final[dict[str, torch.dtype]] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_TUPLES: Final = frozenset({"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"})
_MEMO_WRITES: Final = frozenset({"BINPUT", "LONG_BINPUT"})
# what torch.save writes in pickle protocols 2 to 5; text opcodes, the extension registry,
# pre-allocated byte arrays and hashable sets are not among it
_OPCODES: Final = (
    _TUPLES
    | _MEMO_WRITES
    | {"PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP"}
    | {"MEMOIZE", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE"}
    | {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"}
    | {"BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
    | {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
    | {"EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "EMPTY_SET", "ADDITEMS"}
    | {"EMPTY_DICT", "DICT", "SETITEM", "SETITEMS", "GLOBAL", "STACK_GLOBAL"}
    | {"REDUCE", "BUILD", "NEWOBJ", "NEWOBJ_EX", "BINPERSID"}
)
DAMAGE: Final = (
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    OverflowError,
    MemoryError,
    RecursionError,
)
"""Everything CPython's unpickler and the checks here raise on bytes that are no such pickle."""


class Storage(NamedTuple):
    """A run of numbers in the archive: entry `data/<key>`, not read yet."""

    dtype: torch.dtype
    key: str
    length: int


class View(NamedTuple):
    """A tensor: a strided view of a storage; offset, size and stride in elements."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def load_inert(content: bytes) -> object:
    """Unpickle what `torch.save` put into `data.pkl`.

    Returns:
        Dicts, lists, tuples, sets, strings, numbers, `View` for a tensor, stubs for the rest.

    Raises:
        Exception: one of `DAMAGE`: no pickle that torch.save wrote, or one made to exhaust memory.
    """
    _scan(content)
    return _InertUnpickler(io.BytesIO(content), encoding="latin-1").load()


class _Function:
    """A function the pickle may call, made for one file; slots keep the function itself unset."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call

    def __call__(self, *arguments: object) -> object:
        return self._call(*arguments)


class _StorageKind(NamedTuple):
    dtype: torch.dtype


class _Names(dict[Any, Any]):
    """Stands for OrderedDict; attributes a state dict carries (`_metadata`) are dropped."""

    __slots__ = ()

    def __setstate__(self, *_: object) -> None:
        pass


class _Stub:
    """Stands for every other class and function: takes any call, holds nothing."""

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> _Stub:  # noqa: PYI034 - subclasses are stubs too
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def _ignore(self, *_: object, **__: object) -> _Stub:
        return self

    __call__ = __setitem__ = __setstate__ = append = extend = add = _ignore


class _InertUnpickler(pickle.Unpickler):
    """Never imports: names resolve to the few stand-ins here, or to a stub made for this file."""

    def __init__(self, file: io.BytesIO, *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        # a class of its own for each file: whatever a pickle does to it ends with the file
        self._stub: type[_Stub] = type("_Stub", (_Stub,), {"__slots__": ()})
        self._known: dict[tuple[str, str], object] = {
            ("collections", "OrderedDict"): _Function(_Names),
            ("torch._utils", "_rebuild_tensor_v2"): _Function(_rebuild_tensor),
            ("torch._utils", "_rebuild_parameter"): _Function(_rebuild_parameter),
            **{("torch", name): _StorageKind(dtype) for name, dtype in _DTYPES.items()},
        }

    def find_class(self, module_name: str, global_name: str, /) -> Any:  # noqa: ANN401
        return self._known.get((module_name, global_name), self._stub)

    def persistent_load(self, pid: Any, /) -> Storage | _Stub:  # noqa: ANN401
        match pid:
            case ("storage", _StorageKind(dtype), str(key), _, int(length)) if length >= 0:
                return Storage(dtype, key, length)
            case ("storage", _Stub() | type(), *_):
                return self._stub()  # of a dtype no network here has
        raise pickle.UnpicklingError("a reference to no storage")


def _rebuild_tensor(
    storage: object, offset: object, size: object, stride: object, *_: object
) -> View | _Stub:
    if isinstance(storage, _Stub):
        return storage
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor of no storage")
    (start,) = _naturals((offset,))
    return View(storage, start, _naturals(size), _naturals(stride))


def _rebuild_parameter(data: object, *_: object) -> object:
    return data


def _naturals(numbers: object) -> tuple[int, ...]:
    if (
        not isinstance(numbers, tuple)
        or len(numbers) > MAXIMUM_DIMENSIONS
        or not all(type(number) is int and 0 <= number <= sys.maxsize for number in numbers)
    ):
        raise pickle.UnpicklingError("a tensor whose shape is no tuple of natural numbers")
    return numbers


def _scan(content: bytes) -> None:
    """Refuse a pickle that would take much memory or recursion before it is loaded."""
    tuples = 0
    for opcodes, (opcode, argument, _) in enumerate(pickletools.genops(content), start=1):
        tuples += opcode.name in _TUPLES
        if opcode.name not in _OPCODES:
            raise pickle.UnpicklingError(f"opcode {opcode.name}")
        if opcodes > MAXIMUM_OPCODES or tuples > MAXIMUM_TUPLES:
            raise pickle.UnpicklingError(
                f"over {MAXIMUM_OPCODES:,} opcodes or {MAXIMUM_TUPLES:,} tuples"
            )
        # CPython allocates its memo up to the largest number at once
        if opcode.name in _MEMO_WRITES and isinstance(argument, int) and argument > opcodes:
            raise pickle.UnpicklingError("a memo larger than the pickle")
