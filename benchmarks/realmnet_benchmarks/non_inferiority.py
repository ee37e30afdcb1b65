"""Whether a variant answers no worse than its reference, by a margin stated beforehand.

A patient-wise paired bootstrap gives the two-sided 95 % percentile interval of variant - reference
in AP, AUROC and F1, each model at its own thresholds, per label and macro. A comparison passes
where the interval's lower bound lies above -margin: a one-sided test at 2.5 %. A large test set
can so prove what a small one cannot; what cannot be measured does not pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from realmnet_benchmarks.bootstrap import Interval, bootstrap
from realmnet_benchmarks.metrics import Floats, RankedScores
from realmnet_runtime.errors import UsageError

MEASURES: Final = ("ap", "auroc", "f1")
MACRO: Final = "macro"

Measure = Literal["ap", "auroc", "f1"]
Margin = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]


class MeasureMargins(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of each measure may be lost, as fractions: 0.01 is one point."""

    ap: Margin
    auroc: Margin
    f1: Margin


class Margins(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much a variant may lose, as fractions: 0.01 is one point.

    Attributes:
        ap, auroc, f1: of each label but the rarest.
        macro: of the means over labels.
        rarest: of the label with fewest positives, whose intervals are the widest.
    """

    ap: Margin = 0.02
    auroc: Margin = 0.01
    f1: Margin = 0.03
    macro: MeasureMargins = MeasureMargins(ap=0.01, auroc=0.005, f1=0.015)
    rarest: MeasureMargins = MeasureMargins(ap=0.04, auroc=0.02, f1=0.06)

    def of(self, measure: Measure, label: str, rarest: str) -> float:
        """The margin of one comparison; `label` is a label's name or `macro`."""
        chosen = {MACRO: self.macro, rarest: self.rarest}.get(label, self)
        margin: float = getattr(chosen, measure)
        return margin


@dataclass(frozen=True, eq=False)
class Scored:
    """What one model answered: its name, (N, L) probabilities, and its own (L,) thresholds."""

    name: str
    probabilities: Floats
    thresholds: Floats


class Difference(msgspec.Struct, frozen=True):
    """One comparison: variant - reference in one measure of one label, or macro.

    Attributes:
        measure: `ap`, `auroc` or `f1`.
        label: name, or `macro`.
        reference: the reference's value; None where it has none, as AP without a positive.
        difference: variant - reference.
        low, high: of the interval; None where no replicate has a value.
        undefined: replicates without a value, left out of the interval.
        margin: that may be lost.
        passed: whether `low` is above -`margin`.
    """

    measure: Measure
    label: str
    reference: float | None
    difference: float | None
    low: float | None
    high: float | None
    undefined: int
    margin: float
    passed: bool

    @property
    def reason(self) -> str:
        """One line with the figures, in points."""
        what = f"{_NAMES[self.measure]} of {self.label}"
        if self.difference is None or self.low is None or self.high is None:
            return f"{what} has no value: nothing is shown; use a table with positives of it"
        return (
            f"{what} changes by {100 * self.difference:+.2f} points, "
            f"95 % interval [{100 * self.low:+.2f}, {100 * self.high:+.2f}]; "
            f"{'within' if self.passed else 'not shown to be within'} {100 * self.margin:g} points"
        )


class NonInferiority(msgspec.Struct, frozen=True):
    """Every comparison of a variant with its reference on one table.

    Attributes:
        variant, reference: names.
        images: answered.
        patients: that were resampled.
        rarest: label with fewest positives.
        replicates: of the bootstrap.
        seed: of its draws.
        margins: that were stated.
        comparisons: macro values first, then label by label.
    """

    variant: str
    reference: str
    images: int
    patients: int
    rarest: str
    replicates: int
    seed: int
    margins: Margins
    comparisons: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Whether every comparison passed."""
        return all(comparison.passed for comparison in self.comparisons)

    @property
    def failures(self) -> tuple[str, ...]:
        """A line for each comparison that did not pass."""
        return tuple(
            f"{self.variant} against {self.reference}: {comparison.reason}"
            for comparison in self.comparisons
            if not comparison.passed
        )


_NAMES: Final[dict[Measure, str]] = {"ap": "AP", "auroc": "AUROC", "f1": "F1"}


def non_inferiority(
    labels: ArrayLike,
    patients: ArrayLike,
    names: Sequence[str],
    reference: Scored,
    variant: Scored,
    *,
    margins: Margins,
    known: ArrayLike | None = None,
    replicates: int = 1_000,
    seed: int = 42,
) -> NonInferiority:
    """Compare a variant with its reference on the same pictures.

    Args:
        labels: (N, L) of 0 and 1.
        patients: (N,) identifier of each picture's patient; whole patients are drawn.
        names: (L,) of the labels.
        reference: the model the variant was made from.
        variant: likewise.
        margins: stated before the figures are seen.
        known: (N, L) bool; None where all labels are.
        replicates: of the bootstrap, at least 2.
        seed: of its draws.

    Raises:
        UsageError: shapes that do not agree, as `multilabel_metrics` and `bootstrap`.
    """
    groups = np.asarray(patients)
    before, after = (
        RankedScores.rank(labels, scored.probabilities, scored.thresholds, known=known)
        for scored in (reference, variant)
    )
    if (before.images, len(names)) != before.truth.shape or groups.shape != (before.images,):
        raise UsageError(
            f"labels {before.truth.shape} with {len(names)} names and patients {groups.shape}; "
            "give one name for each label and one patient for each picture"
        )

    def statistic(weights: Floats) -> dict[str, Floats]:
        first, second = _chosen(before.evaluate(weights)), _chosen(after.evaluate(weights))
        return {name: second[name] - first[name] for name in first}

    intervals = bootstrap(statistic, groups, replicates=replicates, level=0.95, seed=seed)
    plain = {k: v[0] for k, v in _chosen(before.evaluate(np.ones((1, before.images)))).items()}
    rarest = names[int(np.argmin(before.truth.sum(axis=0)))]
    return NonInferiority(
        variant=variant.name,
        reference=reference.name,
        images=before.images,
        patients=len(np.unique(groups)),
        rarest=rarest,
        replicates=replicates,
        seed=seed,
        margins=margins,
        comparisons=tuple(
            _difference(
                (measure, label, place), intervals, plain, margins.of(measure, label, rarest)
            )
            for place, label in ((None, MACRO), *enumerate(names))
            for measure in _NAMES
        ),
    )


def _chosen(values: Mapping[str, Floats]) -> dict[str, Floats]:
    return {
        f"{measure}_{kind}": values[f"{measure}_{kind}"]
        for measure in MEASURES
        for kind in ("macro", "per_label")
    }


def _difference(
    what: tuple[Measure, str, int | None],
    intervals: Mapping[str, Interval],
    plain: Mapping[str, Floats],
    margin: float,
) -> Difference:
    measure, label, place = what
    key = f"{measure}_macro" if place is None else f"{measure}_per_label"
    interval = intervals[key] if place is None else intervals[key].of(place)
    reference = plain[key] if place is None else plain[key][place]
    low = _number(interval.low)
    difference = _number(interval.estimate)
    return Difference(
        measure=measure,
        label=label,
        reference=_number(reference),
        difference=difference,
        low=low,
        high=_number(interval.high),
        undefined=int(interval.undefined),
        margin=margin,
        passed=low is not None and difference is not None and low > -margin,
    )


def _number(value: Floats | float) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number
