"""Reading preset files: TOML of the package or of a path, changed by `--set`, into a struct."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

import tomllib

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.structs import convert_mapping
from realmnet_runtime.suggestions import nearest

T = TypeVar("T")

_NO_VALUE: Final = "none"


def read_preset(name: str, presets: Sequence[str], kind: type[T], changes: Iterable[str] = ()) -> T:
    """Read a preset of the package by name, or a TOML file by path, with changes applied.

    Args:
        name: one of `presets`, or a path ending in `.toml`.
        presets: names of the package's presets of this kind.
        kind: the struct.
        changes: `key.key=value`; the value is TOML, `none` for no value, or else a plain string.
            Entries of arrays are named by their number: `fit.stages.0.epochs=3`.

    Raises:
        MissingPath: no such preset or file.
        ConfigurationError: no TOML, an unknown key (with the nearest), an impossible value.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise MissingPath(f"preset file '{name}' does not exist")
        text, source = path.read_text(encoding="utf-8"), name
    elif name in presets:
        file = resources.files("realmnet_training") / "presets" / f"{name}.toml"
        text, source = file.read_text(encoding="utf-8"), f"preset {name}"
    else:
        raise MissingPath(
            f"no preset '{name}'; there are {', '.join(presets)}, or give a path ending in .toml"
            f"{nearest(name, presets)}"
        )
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not TOML: {error}") from error
    for change in changes:
        _apply(content, change)
    return convert_mapping(content, kind, source)


def _apply(content: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigurationError(f"--set '{change}' must look like fit.seed=7")
    place: Any = content
    for part in parts[:-1]:
        place = _entry(place, part, change)
    if isinstance(place, list):
        _entry(place, parts[-1], change)
        place[int(parts[-1])] = _value(value)
    elif isinstance(place, dict):
        place[parts[-1]] = _value(value)
    else:
        raise ConfigurationError(f"--set '{change}': '{parts[-2]}' holds a value, not a table")


def _entry(place: object, part: str, change: str) -> object:
    if isinstance(place, list):
        if not part.isdecimal() or int(part) >= len(place):
            raise ConfigurationError(
                f"--set '{change}': '{part}' must be a number from 0 to {len(place) - 1}"
            )
        return place[int(part)]
    if isinstance(place, dict):
        return place.setdefault(part, {})
    raise ConfigurationError(f"--set '{change}': '{part}' lies below a value, not a table")


def _value(text: str) -> object:
    word = text.strip()
    if word == _NO_VALUE:
        return None
    try:
        return tomllib.loads(f"value = {word}")["value"]
    except tomllib.TOMLDecodeError:
        return word
