"""Recipe files: TOML of the package by name, or of a path."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import tomllib

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.suggestions import nearest


def read_recipe(name: str, names: Sequence[str], package: str) -> dict[str, Any]:
    """The content of a recipe.

    Args:
        name: one of `names`, or a path to a TOML file.
        names: recipes that come with the package.
        package: whose folder `recipes` holds them.

    Raises:
        MissingPath: no such recipe or file.
        ConfigurationError: no TOML.
    """
    if name in names:
        raw = (resources.files(package) / "recipes" / f"{name}.toml").read_bytes()
    elif Path(name).is_file():
        raw = Path(name).read_bytes()
    else:
        raise MissingPath(
            f"no recipe '{name}'; there are {', '.join(names)}, or give a .toml file"
            f"{nearest(name, names)}"
        )
    try:
        return tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"recipe '{name}' is no TOML: {error}") from error
