"""How far one way of running a model is from another: tensors, probabilities, decisions."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from realmnet_runtime.errors import GateFailed, UsageError

FP32_TOLERANCE: Final = 1e-4
"""Largest difference between FP32 in an engine and FP32 in torch, any logit or score."""

Floats = npt.NDArray[np.floating]


class TensorErrors(msgspec.Struct, frozen=True):
    """Absolute differences of two tensors; NaN where either holds a NaN."""

    largest: float
    mean: float


def tensor_errors(reference: Floats, other: Floats) -> TensorErrors:
    """Compare two tensors of one shape.

    Raises:
        GateFailed: the shapes differ.
    """
    if reference.shape != other.shape:
        raise GateFailed(
            f"tensors of shape {reference.shape} and {other.shape} cannot be the same answer; "
            "export the model again"
        )
    difference = np.abs(reference.astype(np.float64) - other.astype(np.float64))
    return TensorErrors(largest=float(difference.max()), mean=float(difference.mean()))
