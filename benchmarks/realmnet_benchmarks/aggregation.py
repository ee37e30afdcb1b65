"""Results by exam, eye and patient: many images, one answer.

A patient has up to 83 images in PSMM. What counts as one case then decides what a figure means, so
every choice is explicit here: what the unit is, which label it has, which score, and what becomes
of an image whose unit is not known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmnet_benchmarks.metrics import validated
from realmnet_benchmarks.ranking import Floats
from realmnet_benchmarks.severity import Severity
from realmnet_benchmarks.units import Level, Units
from realmnet_runtime.errors import UsageError
from realmnet_runtime.labels import LabelSet

ScoreRule = Literal["mean", "max"]
LabelRule = Literal["severest", "majority"]

_SCORE_RULES: Final = ("mean", "max")
_LABEL_RULES: Final = ("severest", "majority")


@dataclass(frozen=True)
class AggregationRule:
    """How the images of a unit become one case.

    Attributes:
        labels: `severest` gives a unit, of each exclusive group, the most severe label that any of
            its images has, and every other label that any image has. One picture that shows
            atrophy is enough: another may be turned away from it, out of focus or older.
            `majority` gives the label most of the images have, the more severe of equals; others
            from half of them on. It resists single wrong labels and hides what few pictures show.
        scores: `mean` over the images, which keeps the probabilities of an exclusive group adding
            up to what they did. `max` takes the highest, and for the label that says "none" the
            lowest: an eye is free of staphyloma only if every picture is. It suits findings that
            may co-occur and `severest` labels; a middle grade seen in any picture keeps its high
            score even where another picture is worse.
    """

    labels: LabelRule = "severest"
    scores: ScoreRule = "mean"

    def __post_init__(self) -> None:
        if self.labels not in _LABEL_RULES or self.scores not in _SCORE_RULES:
            raise UsageError(
                f"aggregation of labels by '{self.labels}' and scores by '{self.scores}'; expected "
                f"{' or '.join(_LABEL_RULES)} and {' or '.join(_SCORE_RULES)}"
            )


@dataclass(frozen=True, eq=False)
class Cases:
    """One labelled and scored row per unit, ready for `multilabel_metrics` and `bootstrap`.

    Attributes:
        level: what a unit is.
        labels: (U, L) uint8.
        scores: (U, L) float64.
        patients: (U,) number of each unit's patient; resample by it.
        images: (U,) number of images in each unit.
        disagreeing: number of units whose images do not all have the same labels.
        left_out: number of images whose unit is not known.
    """

    level: Level
    labels: NDArray[np.uint8]
    scores: Floats
    patients: NDArray[np.intp]
    images: NDArray[np.int64]
    disagreeing: int
    left_out: int

    def __len__(self) -> int:
        return len(self.images)


def aggregate(
    labels: ArrayLike,
    scores: ArrayLike,
    units: Units,
    label_set: LabelSet,
    rule: AggregationRule = AggregationRule(),
) -> Cases:
    """Make one case of the images of each unit.

    Args:
        labels: (N, L) of 0 and 1.
        scores: (N, L) probabilities in [0, 1].
        units: of the same N images.
        label_set: of the L labels; its exclusive groups and grades give the order of severity.
        rule: for labels and scores. At the level of images no rule changes anything.

    Raises:
        UsageError: as `multilabel_metrics`, another number of images or labels, or no image left.
    """
    truth, values = validated(labels, scores)
    if len(units.index) != len(truth) or truth.shape[1] != len(label_set):
        raise UsageError(
            f"labels have shape {truth.shape}; expected ({len(units.index)}, {len(label_set)}) for "
            f"these units and label set '{label_set.name}'"
        )
    known = units.index >= 0
    if not known.any():
        raise UsageError(
            f"no image states its {units.level}; pool the unstated ones or measure by patient"
        )
    # Stable, so that every reduceat below runs over the images of one unit.
    rows = np.flatnonzero(known)[np.argsort(units.index[known], kind="stable")]
    truth, values = truth[rows], values[rows].astype(np.float64)
    starts = np.flatnonzero(np.diff(units.index[rows], prepend=-1))
    images = np.diff(np.append(starts, len(rows)))
    present = np.add.reduceat(truth.astype(np.int64), starts)
    severity = Severity.of(label_set)
    if rule.labels == "severest":
        unit_labels = severity.severest(present, images)
    else:
        unit_labels = severity.majority(present, images)
    split_opinion = (present > 0) & (present < images[:, None])
    alone = images == 1
    unit_labels[alone] = present[alone].astype(np.bool_)
    return Cases(
        level=units.level,
        labels=unit_labels.astype(np.uint8),
        scores=_scores(values, starts, images, severity.absences, rule.scores),
        patients=units.patients[rows][starts],
        images=images.astype(np.int64),
        disagreeing=int(split_opinion.any(axis=1).sum()),
        left_out=int((~known).sum()),
    )


def _scores(
    values: Floats,
    starts: NDArray[np.intp],
    images: NDArray[np.intp],
    absences: NDArray[np.bool_],
    rule: ScoreRule,
) -> Floats:
    if rule == "mean":
        means = np.add.reduceat(values, starts) / images[:, None]
        # A sum of fractions may round to beyond 1.
        return np.clip(means, 0.0, 1.0)
    highest, lowest = np.maximum.reduceat(values, starts), np.minimum.reduceat(values, starts)
    return np.where(absences, lowest, highest)
