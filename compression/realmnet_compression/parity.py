"""How far one way of running a model is from another: tensors, probabilities, decisions."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt

from realmnet_compression.answers import RawAnswers
from realmnet_compression.score_map_parity import MapParity, compare_maps
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import GateFailed
from realmnet_runtime.labels import LabelSet
from realmnet_training.measuring.operating_points import arrays_of, probabilities_of

FP32_TOLERANCE: Final = 1e-4
"""Largest difference between FP32 in an engine and FP32 in torch, any logit or score."""

Floats = npt.NDArray[np.floating]
Decisions = npt.NDArray[np.bool_]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class TensorErrors(msgspec.Struct, frozen=True):
    """Absolute differences of two tensors; NaN where either holds a NaN."""

    largest: float
    mean: float


class Parity(msgspec.Struct, frozen=True):
    """How a variant's answers differ from a reference's, each at its own operating point.

    Attributes:
        variant: name of the one.
        reference: name of the other.
        decisions: label decisions compared: images x labels.
        logits, score_maps, probabilities: differences; the probabilities after temperature.
        flips: decisions that differ.
        flips_per_label: (L,) in label order.
        distances: of each flip, how far the reference's probability was from its threshold,
            descending.
        images_changed: images with any flip.
        maps: where the score maps agree in order and peak.
    """

    variant: str
    reference: str
    decisions: int
    logits: TensorErrors
    score_maps: TensorErrors
    probabilities: TensorErrors
    flips: int
    flips_per_label: tuple[int, ...]
    distances: tuple[float, ...]
    images_changed: int
    maps: MapParity

    @property
    def flips_per_thousand(self) -> float:
        """Flips per 1,000 label decisions."""
        return 1000.0 * self.flips / self.decisions

    @property
    def farthest_flip(self) -> float:
        """Largest distance of a flip to its threshold; 0 without flips."""
        return max(self.distances, default=0.0)

    def __str__(self) -> str:
        return (
            f"{self.variant} against {self.reference}: {self.flips_per_thousand:.1f} of 1,000 "
            f"label decisions differ (farthest {self.farthest_flip:.3f} from its threshold), "
            f"probabilities by {self.probabilities.mean:.4f} on average, logits by at most "
            f"{self.logits.largest:.2f}"
        )


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


def decide(
    logits: Floats, point: OperatingPoint, label_set: LabelSet
) -> tuple[npt.NDArray[np.float64], Decisions]:
    """Probabilities and decisions (N, L) of logits (N, L) at an operating point."""
    temperatures, thresholds = arrays_of(point, label_set)
    probabilities = probabilities_of(logits, temperatures)
    return probabilities, probabilities >= thresholds


def compare_answers(
    reference: tuple[str, RawAnswers, OperatingPoint],
    variant: tuple[str, RawAnswers, OperatingPoint],
    label_set: LabelSet,
) -> Parity:
    """Compare two variants' answers to the same pictures.

    Args:
        reference: name, answers and operating point.
        variant: likewise.
        label_set: of both.

    Raises:
        GateFailed: answers of different shape, or score maps that are not finite.
    """
    expected, expected_decisions = decide(reference[1].logits, reference[2], label_set)
    found, found_decisions = decide(variant[1].logits, variant[2], label_set)
    logits = tensor_errors(reference[1].logits, variant[1].logits)
    flipped = expected_decisions != found_decisions
    thresholds = arrays_of(reference[2], label_set)[1]
    distances = np.abs(expected - thresholds)[flipped]
    return Parity(
        variant=variant[0],
        reference=reference[0],
        decisions=flipped.size,
        logits=logits,
        score_maps=tensor_errors(reference[1].score_maps, variant[1].score_maps),
        probabilities=tensor_errors(expected, found),
        flips=int(flipped.sum()),
        flips_per_label=tuple(int(count) for count in flipped.sum(axis=0)),
        distances=tuple(sorted((float(value) for value in distances), reverse=True)),
        images_changed=int(flipped.any(axis=1).sum()),
        maps=compare_maps(reference[1].score_maps, variant[1].score_maps),
    )


def require_parity(parity: Parity, most_flips: float, table: str) -> None:
    """Return where few enough decisions differ.

    Args:
        parity: measured.
        most_flips: share of decisions, 0..1, below which it holds.
        table: on which it was measured, for the error.

    Raises:
        GateFailed: too many differ, or an answer is not finite.
    """
    share = parity.flips / parity.decisions
    if not np.isfinite(parity.logits.largest) or not share < most_flips:
        raise GateFailed(
            f"on table '{table}' {parity}; fewer than {1000 * most_flips:g} of 1,000 are allowed: "
            "lower quantisation.most_flips, so that more layers stay FP32, or calibrate with more "
            "pictures"
        )
