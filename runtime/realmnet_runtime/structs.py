"""Reading our own files (manifest, profiles, presets, recipes, reports) into typed structs."""

from __future__ import annotations

import re
import typing
from typing import Any, TypeVar

import msgspec

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.suggestions import nearest

T = TypeVar("T")

_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<key>[^`]+)`")


def decode_json(raw: bytes, kind: type[T], source: str) -> T:
    """Decode JSON into a struct; `source` names the file in errors.

    Raises:
        ConfigurationError: not JSON, a wrong type, an impossible value, or an unknown key (with
            the nearest valid one).
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{source}: {_explain(error, kind)}") from error


def convert_mapping(content: dict[str, Any], kind: type[T], source: str) -> T:
    """Convert an already parsed mapping (TOML) into a struct; errors as `decode_json`."""
    try:
        return msgspec.convert(content, type=kind)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{source}: {_explain(error, kind)}") from error


def _explain(error: msgspec.DecodeError, kind: type[Any]) -> str:
    text = str(error)
    match = _UNKNOWN_FIELD.search(text)
    return text + nearest(match["key"], _field_names(kind)) if match else text


def _field_names(kind: Any, seen: frozenset[Any] = frozenset()) -> set[str]:
    """Names of the fields of a struct and of every struct reachable from it."""
    if kind in seen:
        return set()
    seen |= {kind}
    names: set[str] = set()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for name, hint in typing.get_type_hints(kind).items():
            names.add(name)
            names |= _field_names(hint, seen)
    for part in typing.get_args(kind):
        names |= _field_names(part, seen)
    return names
