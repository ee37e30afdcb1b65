"""Carrying a TinyViT's position-bias tables from one window size to another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from realmnet_runtime.errors import ConfigurationError

TABLE_SUFFIX: Final = "attention_biases"


def resize_table(table: Tensor, window: int) -> Tensor:
    """Resample one bias table to another square window.

    A table holds one bias per absolute offset (|dy|, |dx|). It is mirrored into the full table of
    signed offsets first, so that offset zero, by far the strongest, maps to offset zero and the
    surface has no kink at the border.

    Args:
        table: (heads, w * w) biases in row-major order of (|dy|, |dx|).
        window: new side in tokens.

    Returns:
        (heads, window * window), bicubic; the same tensor where the window is unchanged.

    Raises:
        ConfigurationError: the table is not that of a square window.
    """
    side = math.isqrt(table.shape[1])
    if side * side != table.shape[1]:
        raise ConfigurationError(
            f"position-bias table of {table.shape[1]} offsets; a square window has w * w of them"
        )
    if side == window:
        return table
    mirror = torch.arange(-(side - 1), side).abs()
    signed = table.reshape(-1, 1, side, side)[:, :, mirror][:, :, :, mirror]
    resized = functional.interpolate(
        signed, size=(2 * window - 1, 2 * window - 1), mode="bicubic", align_corners=True
    )
    return resized[:, 0, window - 1 :, window - 1 :].reshape(-1, window * window)


def resize_position_biases(
    state: Mapping[str, Tensor], target: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Convert a state dict so that its position-bias tables fit a model with other windows.

    Args:
        state: weights trained at one image size.
        target: state dict of the same model built for another image size; only shapes are read.

    Returns:
        A new state dict; everything but the bias tables is passed on as it is.
    """
    converted = dict(state)
    for name, table in state.items():
        wanted = target.get(name)
        if name.endswith(TABLE_SUFFIX) and wanted is not None and wanted.shape != table.shape:
            converted[name] = resize_table(table, math.isqrt(wanted.shape[1]))
    return converted
