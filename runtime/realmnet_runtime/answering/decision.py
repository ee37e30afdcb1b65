"""From logits to findings: sigmoid, temperature, threshold, clinical reading."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import IncompatibleError
from realmnet_runtime.labels import LabelSet, Reading


def sigmoid(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Logistic function of any finite values, in float64.

    Only exp of non-positive numbers is taken: exp(-x) overflows for x below -709.
    """
    x = np.asarray(values, np.float64)
    small = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, small) / (1.0 + small)


def calibrated_probabilities(
    logits: npt.NDArray[np.float32], labels: LabelSet, point: OperatingPoint
) -> dict[str, float]:
    """sigmoid(logit / temperature) by label name, in label order.

    Args:
        logits: (L,) float32.
        labels: the model's.
        point: temperatures of the variant that ran.

    Raises:
        IncompatibleError: a logit is not finite.
    """
    if not np.isfinite(logits).all():
        raise IncompatibleError(
            "engine answered logits that are not finite; this variant does not suit this machine; "
            "run `realmnet selftest` and choose another"
        )
    temperatures = np.array([point.temperatures[name] for name in labels.names])
    values = sigmoid(logits / temperatures)
    return {name: float(value) for name, value in zip(labels.names, values, strict=True)}


def findings_of(
    probabilities: dict[str, float], labels: LabelSet, point: OperatingPoint
) -> tuple[str, ...]:
    """Names at or above their thresholds, in label order."""
    return tuple(name for name in labels.names if probabilities[name] >= point.thresholds[name])


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network says of one picture, read by the variant's operating point.

    Attributes:
        probabilities: by label name, in label order; empty where the answer is withheld.
        findings: names at or above their thresholds, in label order.
        reading: the clinical one.
        score_maps: (L, h, w) float32; (L, 0, 0) where the answer is withheld.
    """

    probabilities: dict[str, float]
    findings: tuple[str, ...]
    reading: Reading
    score_maps: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        logits: npt.NDArray[np.float32],
        score_maps: npt.NDArray[np.float32],
        labels: LabelSet,
        point: OperatingPoint,
    ) -> Answer:
        """The answer of (L,) logits and (L, h, w) score maps.

        Raises:
            IncompatibleError: a logit is not finite.
        """
        probabilities = calibrated_probabilities(logits, labels, point)
        findings = findings_of(probabilities, labels, point)
        return cls(probabilities, findings, labels.read(findings), score_maps)

    @classmethod
    def withheld(cls, labels: int) -> Answer:
        """No answer, of a model of so many labels."""
        nothing = Reading(grade=None, staphyloma=None, pathologic_myopia=None, inconsistencies=())
        return cls({}, (), nothing, np.zeros((labels, 0, 0), np.float32))
