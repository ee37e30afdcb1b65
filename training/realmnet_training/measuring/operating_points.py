"""Temperatures and thresholds per label, from development data only."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit

from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.labels import LabelSet

Floats = NDArray[np.float64]
Known = NDArray[np.bool_]

_LOG_TEMPERATURE_RANGE: Final = (np.log(0.05), np.log(20.0))


def fit_operating_point(
    logits: NDArray[np.floating],
    labels: NDArray[np.integer],
    label_set: LabelSet,
    fitted_on: str,
    *,
    known: Known | None = None,
) -> OperatingPoint:
    """Find temperature, then the threshold of highest F1, of each label.

    Args:
        logits: (N, L) of development images, of the variant the point is for.
        labels: (N, L) 0 or 1.
        label_set: names of the L labels.
        fitted_on: what the images are, for the record.
        known: (N, L) bool; None where all labels are. Each label is fitted on the images of which
            it is known.

    Raises:
        UsageError, ConfigurationError: as `fit_temperatures` and `fit_thresholds`.
    """
    temperatures = fit_temperatures(logits, labels, known=known)
    thresholds = fit_thresholds(probabilities_of(logits, temperatures), labels, known=known)
    return OperatingPoint(
        temperatures=dict(zip(label_set.names, temperatures.tolist(), strict=True)),
        thresholds=dict(zip(label_set.names, thresholds.tolist(), strict=True)),
        fitted_on=fitted_on,
    )


def arrays_of(point: OperatingPoint | None, label_set: LabelSet) -> tuple[Floats, Floats]:
    """Temperatures and thresholds (L,) in label order; 1 and 0.5 where there is no point."""
    if point is None:
        return np.ones(len(label_set)), np.full(len(label_set), 0.5)
    return (
        np.array([point.temperatures[name] for name in label_set.names]),
        np.array([point.thresholds[name] for name in label_set.names]),
    )


def fit_temperatures(
    logits: NDArray[np.floating], labels: NDArray[np.integer], *, known: Known | None = None
) -> Floats:
    """Find the temperature of each label that makes its probabilities most likely.

    Args:
        logits: (N, L) of development images.
        labels: (N, L) 0 or 1.
        known: (N, L) bool; None where all labels are.

    Returns:
        (L,) from 0.05 to 20; 1 for a label without known positives or without known negatives.

    Raises:
        UsageError: shapes differ or are empty.
    """
    stated = _stated(logits, labels, known)
    signed = np.where(labels > 0, -1.0, 1.0) * logits.astype(np.float64)

    def cost(log_temperature: float, column: Floats) -> float:
        return float(np.logaddexp(0.0, column * np.exp(-log_temperature)).mean())

    temperatures = np.ones(labels.shape[1])
    for label, (column, rows) in enumerate(zip(signed.T, stated.T, strict=True)):
        if 0 < labels[rows, label].sum() < rows.sum():
            best: Any = minimize_scalar(
                cost, bounds=_LOG_TEMPERATURE_RANGE, args=(column[rows],), method="bounded"
            )
            temperatures[label] = np.exp(best.x)
    return temperatures


def fit_thresholds(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, known: Known | None = None
) -> Floats:
    """Find the threshold of each label with the highest F1.

    Every threshold half-way between two neighbouring probabilities is tried; of equal ones the
    middle of the widest gap is taken, which moves least when images change a little.

    Args:
        probabilities: (N, L) in [0, 1], after the temperature.
        labels: (N, L) 0 or 1.
        known: (N, L) bool; None where all labels are.

    Returns:
        (L,) in [0, 1].

    Raises:
        UsageError: shapes differ or are empty.
        ConfigurationError: a label without positives, for which F1 says nothing.
    """
    stated = _stated(probabilities, labels, known)
    absent = np.flatnonzero((labels * stated).sum(axis=0) == 0)
    if absent.size:
        raise ConfigurationError(
            f"development data hold no positive of label number {int(absent[0]) + 1}; its "
            "threshold cannot be found"
        )
    return np.array(
        [
            _best_threshold(column[rows].astype(np.float64), truth[rows] > 0)
            for column, truth, rows in zip(probabilities.T, labels.T, stated.T, strict=True)
        ]
    )


def _best_threshold(scores: Floats, truth: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    falling, hits = scores[order], np.cumsum(truth[order])
    called = np.arange(1, len(scores) + 1)
    f1 = 2.0 * hits / (called + truth.sum())
    # a threshold cannot separate equal scores
    f1[:-1][falling[:-1] == falling[1:]] = -1.0
    below = np.append(falling[1:], 0.0)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    widest = best[np.argmax(falling[best] - below[best])]
    return float((falling[widest] + below[widest]) / 2.0)


def probabilities_of(logits: NDArray[np.floating], temperatures: NDArray[np.floating]) -> Floats:
    """sigmoid(logit / temperature), (N, L) float64."""
    return np.asarray(expit(logits.astype(np.float64) / temperatures), np.float64)


def _stated(
    scores: NDArray[np.floating], labels: NDArray[np.integer], known: Known | None
) -> Known:
    """(N, L), which labels are known, after checking that shapes agree."""
    stated = np.ones(labels.shape, dtype=np.bool_) if known is None else known
    if scores.shape != labels.shape or scores.ndim != 2 or not len(scores):
        raise UsageError(
            f"scores {scores.shape} and labels {labels.shape} must be the same (N, L), N >= 1"
        )
    if stated.shape != labels.shape:
        raise UsageError(f"known {stated.shape} must have the labels' shape {labels.shape}")
    return stated
