"""A score table with its figures, each computed once and only when a report asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.bootstrap import Interval, Statistic, bootstrap, paired_difference
from realmnet_benchmarks.image_bootstrap import ImageReplicates, image_bootstrap
from realmnet_benchmarks.metrics import (
    Floats,
    MultilabelMetrics,
    RankedScores,
    multilabel_metrics,
)
from realmnet_benchmarks.score_facts import ScoreFacts, TableFacts
from realmnet_benchmarks.score_tables import ScoreTable


@dataclass(frozen=True)
class Draws:
    """How intervals are drawn.

    Attributes:
        replicates: of the bootstrap, by patient and by image; the paper's are 1,000.
        seed: the same for every table, so that two models are measured on the same draws.
    """

    replicates: int = 1_000
    seed: int = 42


@dataclass(frozen=True, eq=False)
class Measured:
    """Figures of one score table, at the threshold 0.5 on sigmoid(logit) unless said otherwise."""

    scores: ScoreTable
    draws: Draws

    @property
    def facts(self) -> ScoreFacts:
        """Whose answers."""
        return self.scores.facts

    @property
    def test(self) -> TableFacts:
        """To which table."""
        return self.scores.test

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.scores)

    @property
    def patients(self) -> int:
        """Number of patients."""
        return int(self.scores.patients.max()) + 1

    @cached_property
    def metrics(self) -> MultilabelMetrics:
        """All metrics, as the paper."""
        return multilabel_metrics(self.scores.labels, self.scores.probabilities)

    @cached_property
    def fitted(self) -> MultilabelMetrics | None:
        """All metrics of the operating point; None without one."""
        calibrated, thresholds = self.scores.calibrated, self.scores.thresholds
        if calibrated is None or thresholds is None:
            return None
        return multilabel_metrics(self.scores.labels, calibrated, thresholds)

    @cached_property
    def by_patient(self) -> Mapping[str, Interval]:
        """95 % intervals of every metric, whole patients drawn: the ones to claim by."""
        return bootstrap(
            self._statistic,
            self.scores.patients,
            replicates=self.draws.replicates,
            seed=self.draws.seed,
        )

    @cached_property
    def by_image(self) -> Mapping[str, ImageReplicates]:
        """The paper's replicates: 1,000 images each, drawn one by one."""
        return image_bootstrap(
            self._statistic,
            self.images,
            replicates=self.draws.replicates,
            seed=self.draws.seed,
        )

    def value(self, name: str) -> float:
        """A scalar metric, or `brier_macro`."""
        return _value(self.metrics, name)

    def fitted_value(self, name: str) -> float | None:
        """The same at the operating point, or None without one."""
        return None if self.fitted is None else _value(self.fitted, name)

    def label_value(self, name: str, index: int) -> float:
        """A metric of one label, by its name without `_per_label`."""
        return float(self.metrics[f"{name}_per_label"][index])  # type: ignore[literal-required]

    def against(self, reference: Measured) -> Mapping[str, Interval] | None:
        """Paired intervals of this model less the reference; None if they answered other images."""
        if not self.scores.answers_the_same_images(reference.scores):
            return None
        return paired_difference(
            self.scores.labels,
            reference.scores.probabilities,
            self.scores.probabilities,
            self.scores.patients,
            replicates=self.draws.replicates,
            seed=self.draws.seed,
        )

    def on(self, rows: NDArray[np.bool_]) -> Mapping[str, Interval]:
        """Intervals by patient on some of the images, (N,) bool with one or more."""
        ranked = RankedScores.rank(self.scores.labels[rows], self.scores.probabilities[rows])
        return bootstrap(
            ranked.evaluate,
            self.scores.patients[rows],
            replicates=self.draws.replicates,
            seed=self.draws.seed,
        )

    @property
    def _statistic(self) -> Statistic:
        ranked = RankedScores.rank(self.scores.labels, self.scores.probabilities)

        def evaluate(weights: Floats) -> dict[str, Floats]:
            values = ranked.evaluate(weights)
            return values | {"brier_macro": values["brier_per_label"].mean(axis=1)}

        return evaluate


def _value(metrics: MultilabelMetrics, name: str) -> float:
    if name == "brier_macro":
        return float(metrics["brier_per_label"].mean())
    return float(metrics[name])  # type: ignore[literal-required]
