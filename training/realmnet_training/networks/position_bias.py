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
_THIRD_STAGE: Final = "stages.2."


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
    side = _side(table)
    if side == window:
        return table
    mirror = torch.arange(-(side - 1), side).abs()
    signed = table.reshape(-1, 1, side, side)[:, :, mirror][:, :, :, mirror]
    resized = functional.interpolate(
        signed, size=(2 * window - 1, 2 * window - 1), mode="bicubic", align_corners=True
    )
    return resized[:, 0, window - 1 :, window - 1 :].reshape(-1, window * window)


def crop_table(table: Tensor, window: int) -> Tensor:
    """Keep the biases of those offsets that exist in a smaller square window, as they are.

    Resizing would squeeze them: an offset of three tokens is three tokens in both windows, since
    the image and with it the token's size stay the same.

    Args:
        table: (heads, w * w) biases in row-major order of (|dy|, |dx|).
        window: new side in tokens, at most w.

    Returns:
        (heads, window * window).

    Raises:
        ConfigurationError: the table is that of a smaller window, or of none that is square.
    """
    side = _side(table)
    if window > side:
        raise ConfigurationError(
            f"weights with a third window of {side} tokens know no offsets of a window of "
            f"{window}; set third_window to {side} or less"
        )
    return table.reshape(-1, side, side)[:, :window, :window].reshape(-1, window * window)


def resize_position_biases(
    state: Mapping[str, Tensor], target: Mapping[str, Tensor], *, crop_third: bool = False
) -> dict[str, Tensor]:
    """Convert a state dict so that its position-bias tables fit a model with other windows.

    Args:
        state: weights trained at one image size.
        target: state dict of the same model built for another image size or with a smaller third
            window; only shapes are read.
        crop_third: whether the tables of stage 3 are cropped rather than resized: the target's
            third window is smaller than its grid.

    Returns:
        A new state dict; everything but the bias tables is passed on as it is.

    Raises:
        ConfigurationError: a table to crop is smaller than the target's.
    """
    converted = dict(state)
    for name, table in state.items():
        wanted = target.get(name)
        if name.endswith(TABLE_SUFFIX) and wanted is not None and wanted.shape != table.shape:
            change = crop_table if crop_third and _THIRD_STAGE in name else resize_table
            converted[name] = change(table, math.isqrt(wanted.shape[1]))
    return converted


def _side(table: Tensor) -> int:
    side = math.isqrt(table.shape[1])
    if side * side != table.shape[1]:
        raise ConfigurationError(
            f"position-bias table of {table.shape[1]} offsets; a square window has w * w of them"
        )
    return side
