"""A variant's operating point, fitted so that it decides like the model it came from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from realmnet_benchmarks.splits import Split
from realmnet_compression.parity import decide
from realmnet_compression.releasing.measured import REFERENCE, TableAnswers
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import UsageError
from realmnet_runtime.labels import LabelSet
from realmnet_training.measuring.operating_points import (
    fit_operating_point,
    fit_temperatures,
    probabilities_of,
)

Floats = npt.NDArray[np.float64]


def fit_points(
    answers: TableAnswers, split: Split, label_set: LabelSet
) -> dict[str, OperatingPoint]:
    """The reference's point for F1 on development data, every variant's to decide like it.

    Args:
        answers: of the reference and the variants to the table.
        split: the development table.
        label_set: names of the labels.

    Raises:
        UsageError, ConfigurationError: a label that is never, or always, there or decided.
    """
    fitted_on = (
        f"{split.name}, {len(split)} pictures of {len(set(split.patients))} patients, "
        f"sha256 {split.digest[:16]}"
    )
    logits = answers.reference.logits
    points = {REFERENCE: fit_operating_point(logits, split.labels, label_set, fitted_on)}
    _, decisions = decide(logits, points[REFERENCE], label_set)
    for name, found in answers.by_variant.items():
        if name != REFERENCE:
            points[name] = match_operating_point(
                found.logits, split.labels, decisions, label_set, fitted_on
            )
    return points


def match_operating_point(
    logits: npt.NDArray[np.floating],
    labels: npt.NDArray[np.integer],
    decisions: npt.NDArray[np.bool_],
    label_set: LabelSet,
    fitted_on: str,
) -> OperatingPoint:
    """Fit temperatures to the labels, and thresholds to the reference's decisions.

    The threshold of highest F1 jumps between almost equal peaks when the logits move a little;
    a variant fitted so would disagree with its reference for no gain. The threshold that repeats
    most of the reference's decisions moves only as far as the logits did.

    Args:
        logits: (N, L) of the variant on development pictures.
        labels: (N, L) 0 or 1.
        decisions: (N, L) of the reference on the same pictures, both values in every column.
        label_set: names of the L labels.
        fitted_on: what the pictures are.

    Raises:
        UsageError: shapes differ, or the reference decides every picture alike for some label.
    """
    if logits.shape != labels.shape or logits.shape != decisions.shape:
        raise UsageError(
            f"logits {logits.shape}, labels {labels.shape} and decisions {decisions.shape} must "
            "be the same (N, L)"
        )
    temperatures = fit_temperatures(logits, labels)
    probabilities = probabilities_of(logits, temperatures)
    thresholds = []
    for name, scores, wanted in zip(label_set.names, probabilities.T, decisions.T, strict=True):
        if wanted.all() or not wanted.any():
            raise UsageError(
                f"the reference decides all {len(wanted)} pictures alike for '{name}'; fit on "
                "pictures with and without it"
            )
        thresholds.append(matching_threshold(scores, wanted))
    return OperatingPoint(
        temperatures=dict(zip(label_set.names, temperatures.tolist(), strict=True)),
        thresholds=dict(zip(label_set.names, thresholds, strict=True)),
        fitted_on=fitted_on,
    )


def matching_threshold(scores: Floats, wanted: npt.NDArray[np.bool_]) -> float:
    """The threshold with which `scores >= threshold` repeats most of the wanted decisions.

    Half-way between two neighbouring scores; of equally good gaps the widest.

    Args:
        scores: (N,) in [0, 1].
        wanted: (N,) with both values.
    """
    order = np.argsort(scores, kind="stable")
    rising, truth = scores[order], wanted[order]
    # a threshold below the k-th score: the k scores before it are decided False
    missed = np.concatenate([[0], np.cumsum(truth)])
    false_alarms = np.concatenate([[0], np.cumsum(~truth)])
    wrong = missed + (false_alarms[-1] - false_alarms)
    edges = np.concatenate([[0.0], rising, [1.0]])
    gaps = np.diff(edges)
    inner = np.flatnonzero(gaps > 0)
    best = inner[wrong[inner] == wrong[inner].min()]
    widest = best[np.argmax(gaps[best])]
    return float((edges[widest] + edges[widest + 1]) / 2.0)
