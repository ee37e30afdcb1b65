"""Reading the TOML files that come with the studies."""

from __future__ import annotations

from collections.abc import Collection
from importlib import resources
from typing import Any, TypeVar

import tomllib

from realmnet_runtime.errors import MissingPath
from realmnet_runtime.structs import convert_mapping
from realmnet_runtime.suggestions import nearest

T = TypeVar("T")


def read_packaged(noun: str, folder: str, name: str, names: Collection[str], kind: type[T]) -> T:
    """Read one of the package's files into a struct.

    Args:
        noun: what it is, for messages.
        folder: in this package.
        name: without its suffix.
        names: that there are.
        kind: the struct.

    Raises:
        MissingPath: no such name.
        ConfigurationError: an unknown key or an impossible value.
    """
    if name not in names:
        raise MissingPath(f"no {noun} '{name}'; there are {', '.join(names)}{nearest(name, names)}")
    file = resources.files("realmnet_training.studies") / folder / f"{name}.toml"
    content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    return convert_mapping(content, kind, f"{noun} {name}")
