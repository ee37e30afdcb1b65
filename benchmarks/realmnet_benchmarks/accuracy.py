"""Accuracy of the shipped bundle through the shipped runtime, alone or against another variant.

A picture the runtime refuses has no probabilities. It is counted and left out of every metric,
never scored as a negative.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.bootstrap import Interval, bootstrap
from realmnet_benchmarks.metrics import Floats, MultilabelMetrics, RankedScores, multilabel_metrics
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ImageRefused, IncompatibleError, UsageError


class Said(Protocol):
    """The part of a `realmnet_runtime.Prediction` that accuracy is about."""

    @property
    def probabilities(self) -> Mapping[str, float]:
        """By label name, in label order; empty where the picture is ungradable."""
        ...

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By label name."""
        ...

    @property
    def findings(self) -> tuple[str, ...]:
        """Names of the labels decided to be present."""
        ...

    @property
    def variant(self) -> str:
        """Name of the variant that answered."""
        ...

    @property
    def precision(self) -> str:
        """In which its engine computed."""
        ...


class Answering(Protocol):
    """Whatever answers a picture as `realmnet_runtime.Predictor` does."""

    def predict(self, image: Path, /) -> Said:
        """Answer one image file, or raise ImageRefused."""
        ...


@dataclass(frozen=True, eq=False)
class Answers:
    """What one variant said of every image of a split.

    Attributes:
        variant: its name, with engine and precision as read back: `onnxruntime-int8 (int8)`.
        labels: (L,) names in the order of the columns.
        probabilities: (N, L) float64 in 0..1; rows of NaN for refused images.
        decisions: (N, L) bool, the bundle's findings; False for refused images.
        thresholds: (L,) of the variant.
        refused: (N,) bool.
        refusals: number of refusals by kind of error.
    """

    variant: str
    labels: tuple[str, ...]
    probabilities: Floats
    decisions: NDArray[np.bool_]
    thresholds: Floats
    refused: NDArray[np.bool_]
    refusals: Mapping[str, int]

    def __post_init__(self) -> None:
        shape = (len(self.refused), len(self.labels))
        if self.probabilities.shape != shape or self.decisions.shape != shape:
            raise UsageError(
                f"answers have probabilities {self.probabilities.shape} and decisions "
                f"{self.decisions.shape}; expected both {shape}"
            )
        if not np.array_equal(np.isnan(self.probabilities).any(axis=1), self.refused):
            raise UsageError("answers have NaN where nothing was refused, or none where it was")

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(N,) bool, the images with an answer."""
        return ~self.refused


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two variants on the images both answered; differences are new - old.

    Attributes:
        old: name of the one variant.
        new: name of the other.
        labels: (L,) names.
        images: number of images both answered.
        refused_by_one: number of images only one of them refused.
        before: metrics of the old one.
        after: metrics of the new one.
        differences: paired patient-bootstrap interval of each metric's difference, by its name.
        flips_per_label: (L,) label decisions that differ per 1,000 images, with interval.
        flips: label decisions that differ per 1,000 of all labels, with interval.
        changed_images: images of which any decision differs per 1,000, with interval.
    """

    old: str
    new: str
    labels: tuple[str, ...]
    images: int
    refused_by_one: int
    before: MultilabelMetrics
    after: MultilabelMetrics
    differences: Mapping[str, Interval]
    flips_per_label: Interval
    flips: Interval
    changed_images: Interval


def answer(
    predictor: Answering, split: Split, progress: Callable[[int], None] = lambda _: None
) -> Answers:
    """Ask a predictor about every image of a split, one by one as a camera does.

    Args:
        predictor: an opened `realmnet_runtime.Predictor`.
        split: with its images in place.
        progress: told the number of images done after each.

    Raises:
        IncompatibleError: the bundle's labels are not the split's.
        UsageError: the predictor refused every image.
        RealmnetError: whatever else it raises except ImageRefused.
    """
    names = split.label_set.names
    probabilities = np.full((len(split), len(names)), np.nan)
    decisions = np.zeros(probabilities.shape, dtype=np.bool_)
    refusals: Counter[str] = Counter()
    last: Said | None = None
    for row, path in enumerate(split.paths):
        try:
            said = predictor.predict(path)
        except ImageRefused as error:
            refusals[type(error).__name__] += 1
        else:
            if not said.probabilities:
                refusals["Ungradable"] += 1
            else:
                _require_labels(tuple(said.probabilities), names)
                probabilities[row] = list(said.probabilities.values())
                decisions[row] = [name in said.findings for name in names]
                last = said
        progress(row + 1)
    if last is None:
        raise UsageError(
            f"all {len(split)} images of split '{split.name}' were refused "
            f"({', '.join(refusals)}); check that they are ultra-widefield pictures"
        )
    return Answers(
        variant=f"{last.variant} ({last.precision})",
        labels=names,
        probabilities=probabilities,
        decisions=decisions,
        thresholds=np.array([last.thresholds[name] for name in names]),
        refused=np.asarray(np.isnan(probabilities).any(axis=1)),
        refusals=MappingProxyType(dict(refusals)),
    )


def measure(answers: Answers, split: Split) -> MultilabelMetrics:
    """Metrics of the answered images at the variant's own thresholds.

    Raises:
        UsageError: answers of another number of images, or none at all.
    """
    rows = _rows(answers, split, answers.answered)
    return multilabel_metrics(
        split.labels[rows],
        answers.probabilities[rows],
        answers.thresholds,
        known=split.known[rows],
    )


def measure_intervals(
    answers: Answers, split: Split, *, replicates: int = 1_000, seed: int = 42
) -> dict[str, Interval]:
    """95 % patient-bootstrap interval of every metric of `measure`, by its name."""
    rows = _rows(answers, split, answers.answered)
    ranked = RankedScores.rank(
        split.labels[rows],
        answers.probabilities[rows],
        answers.thresholds,
        known=split.known[rows],
    )
    patients = split.patient_index[rows]
    return bootstrap(ranked.evaluate, patients, replicates=replicates, seed=seed)


def compare(
    old: Answers, new: Answers, split: Split, *, replicates: int = 1_000, seed: int = 42
) -> Comparison:
    """Compare two variants image by image, each at its own thresholds.

    Args:
        old: answers of the one, usually FP32.
        new: answers of the other.
        split: which both answered.
        replicates: resamples of patients for the 95 % intervals.
        seed: of the draws.

    Raises:
        UsageError: answers of another number of images, or no image both answered.
    """
    rows = _rows(old, split, old.answered & new.answered)
    _rows(new, split, new.answered)
    truth, known = split.labels[rows], split.known[rows]
    before, after = (
        RankedScores.rank(truth, a.probabilities[rows], a.thresholds, known=known)
        for a in (old, new)
    )
    flips = (old.decisions[rows] != new.decisions[rows]).astype(np.float64)
    flips_of = np.column_stack([flips, flips.mean(axis=1), flips.max(axis=1)]) * 1_000

    def statistic(weights: Floats) -> dict[str, Floats]:
        first, second = before.evaluate(weights), after.evaluate(weights)
        differences = {name: second[name] - first[name] for name in first}
        return differences | {"flips": weights @ flips_of / weights.sum(axis=1, keepdims=True)}

    intervals = bootstrap(statistic, split.patient_index[rows], replicates=replicates, seed=seed)
    changed = intervals.pop("flips")
    return Comparison(
        old=old.variant,
        new=new.variant,
        labels=split.label_set.names,
        images=len(rows),
        refused_by_one=int((old.refused != new.refused).sum()),
        before=multilabel_metrics(truth, old.probabilities[rows], old.thresholds, known=known),
        after=multilabel_metrics(truth, new.probabilities[rows], new.thresholds, known=known),
        differences=MappingProxyType(intervals),
        flips_per_label=changed.of(slice(None, -2)),
        flips=changed.of(-2),
        changed_images=changed.of(-1),
    )


def flatten(metrics: MultilabelMetrics, labels: tuple[str, ...]) -> dict[str, float]:
    """Metrics as one mapping of numbers, as a bundle's evidence holds them.

    Per-label values are named `ap/NoPS`; a value that does not exist is left out.
    """
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, np.ndarray):
            stem = name.removesuffix("_per_label")
            flat |= {f"{stem}/{k}": float(v) for k, v in zip(labels, value, strict=True)}
        elif isinstance(value, float):
            flat[name] = value
    return {name: value for name, value in flat.items() if not np.isnan(value)}


def _rows(answers: Answers, split: Split, wanted: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices of the wanted images, after checking that the answers are this split's."""
    _require_labels(answers.labels, split.label_set.names)
    if len(answers.refused) != len(split):
        raise UsageError(
            f"answers are for {len(answers.refused)} images and split '{split.name}' has "
            f"{len(split)}; answer the same split"
        )
    rows = np.flatnonzero(wanted)
    if not len(rows):
        raise UsageError(f"no image of split '{split.name}' has an answer; nothing to measure")
    return rows


def _require_labels(found: tuple[str, ...], expected: tuple[str, ...]) -> None:
    if found != expected:
        raise IncompatibleError(
            f"bundle answers {', '.join(found)}; the table has {', '.join(expected)}; use a table "
            "with the bundle's labels"
        )
