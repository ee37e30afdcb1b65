"""Reading our own files (manifest, profiles, presets, recipes, reports) into typed structs."""

from __future__ import annotations

import re
import typing
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.suggestions import nearest

T = TypeVar("T")

_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<key>[^`]*)`(?: - at `(?P<place>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(?P<field>\w+)|\[[^\]]*\]")


def decode_json(raw: bytes, kind: type[T], source: str) -> T:
    """Decode JSON into a struct; `source` names the file in errors.

    Raises:
        ConfigurationError: not JSON, a wrong type, an impossible value, or an unknown key (with
            the nearest valid one).
    """
    return _explained(lambda: msgspec.json.decode(raw, type=kind), kind, source)


def convert_mapping(content: dict[str, Any], kind: type[T], source: str) -> T:
    """Convert an already parsed mapping (TOML) into a struct; errors as `decode_json`."""
    return _explained(lambda: msgspec.convert(content, type=kind), kind, source)


def _explained(decode: Callable[[], T], kind: type[T], source: str) -> T:
    try:
        return decode()
    except ConfigurationError as error:
        raise ConfigurationError(f"{source}: {error}") from error
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{source}: {_explain(error, kind)}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{source}: text is not UTF-8; save it as UTF-8") from error
    except RecursionError as error:
        raise ConfigurationError(f"{source}: nested too deeply; no file of ours is") from error


def _explain(error: msgspec.DecodeError, kind: type[Any]) -> str:
    text = " ".join(str(error).split())
    match = _UNKNOWN_FIELD.search(str(error))
    if match is None:
        return text
    return text + nearest(match["key"], _fields_at(match["place"] or "$", kind))


def _fields_at(place: str, kind: object) -> set[str]:
    """Names of the fields of the struct that msgspec's path, `$.a[0].b`, leads to."""
    kinds = [kind]
    for step in _STEP.finditer(place):
        if field := step["field"]:
            structs = [struct for each in kinds for struct in _structs_in(each)]
            kinds = [hints[field] for struct in structs if field in (hints := _hints(struct))]
        else:
            kinds = [part for each in kinds for part in typing.get_args(each)]
    return {name for each in kinds for struct in _structs_in(each) for name in _hints(struct)}


def _structs_in(kind: object) -> Iterator[type[msgspec.Struct]]:
    """The struct itself, or the structs among a union's members."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    else:
        for part in typing.get_args(kind):
            if isinstance(part, type) and issubclass(part, msgspec.Struct):
                yield part


def _hints(struct: type[msgspec.Struct]) -> dict[str, Any]:
    hints = typing.get_type_hints(struct)
    # what a class says of all its values is no key of a file
    return {name: hints[name] for name in struct.__struct_fields__}
