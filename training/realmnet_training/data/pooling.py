"""Putting tables of one data set together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

import numpy as np

from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError

_SHARED: Final = ("images", "label_set")


def pool(name: str, tables: Sequence[Split]) -> Split:
    """The rows of all tables, one table after the other.

    Args:
        name: of the new table.
        tables: one or more, of one folder of images and one label set.

    Raises:
        ConfigurationError: no table, another folder or label set, or an image in two tables.
    """
    if not tables:
        raise ConfigurationError(f"no table to make '{name}' of; give at least one")
    first = tables[0]
    for table in tables[1:]:
        if table.images != first.images or table.label_set != first.label_set:
            raise ConfigurationError(
                f"splits '{first.name}' and '{table.name}' differ in label set or folder of images;"
                " pool tables of one data set only"
            )
    columns: dict[str, Any] = {field: getattr(first, field) for field in _SHARED}
    for field in fields(Split):
        if field.name not in {"name", *_SHARED}:
            columns[field.name] = _end_to_end([getattr(table, field.name) for table in tables])
    pooled = Split(name=name, **columns)
    if len(set(pooled.files)) != len(pooled):
        raise ConfigurationError(
            f"{len(pooled) - len(set(pooled.files))} images are in two of the splits "
            f"{', '.join(table.name for table in tables)}; pool tables without a common image"
        )
    return pooled


def _end_to_end(parts: list[Any]) -> object:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return tuple(value for part in parts for value in part)
