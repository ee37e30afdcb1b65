"""Parity of two forms of a model, stage by stage, each with its limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final, Literal, get_args

import msgspec

from realmnet_compression.answers import Float32Array
from realmnet_compression.parity import FP32_TOLERANCE, Parity, compare_answers
from realmnet_compression.verifying.subjects import Subject, require_same
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import GateFailed, UsageError
from realmnet_runtime.labels import LABEL_SETS, LabelSet
from realmnet_runtime.pictures.preprocess import PreprocessSpec

StageName = Literal["tensors", "maps", "probabilities", "decisions"]

STAGES: Final[tuple[StageName, ...]] = get_args(StageName)


class VerifyLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must hold between two forms.

    Attributes:
        tensors: largest difference of any logit or score where both are FP32.
        probabilities: largest difference of any probability.
        flips: share of label decisions below which they may differ.
        rank_correlation: least median rank correlation of any label's score maps.
        peak_shift: greatest median distance of any label's peaks, cells.
    """

    tensors: Annotated[float, msgspec.Meta(ge=0.0)] = FP32_TOLERANCE
    probabilities: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.25
    flips: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.01
    rank_correlation: Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)] = 0.8
    peak_shift: Annotated[float, msgspec.Meta(ge=0.0)] = 1.0


class Stage(msgspec.Struct, frozen=True):
    """One level of the comparison: a line with its figures, and whether its limit holds."""

    name: StageName
    passed: bool
    line: str


class Verification(msgspec.Struct, frozen=True):
    """How two forms of a model differ.

    Attributes:
        first, second: their names.
        pictures: asked about.
        measured_on: what those are.
        stages: that were compared, in order.
        parity: everything that was counted, with the distance of each flip to its threshold.
    """

    first: str
    second: str
    pictures: int
    measured_on: str
    stages: tuple[Stage, ...]
    parity: Parity

    def require_passed(self) -> None:
        """Return where every stage passes.

        Raises:
            GateFailed: names the first that does not.
        """
        for stage in self.stages:
            if not stage.passed:
                raise GateFailed(
                    f"{self.second} does not answer like {self.first}: {stage.line}; make it again "
                    "from the same model, or state another limit"
                )


def spec_of(first: Subject, second: Subject) -> PreprocessSpec:
    """The pre-processing of either; the default at their size where neither says."""
    return first.spec or second.spec or PreprocessSpec(size=first.size)


def label_set_of(first: Subject, second: Subject) -> LabelSet:
    """The label set of either, or the toolkit's of so many labels where neither says.

    Raises:
        UsageError: there is none.
    """
    found = first.label_set or second.label_set
    if found is None:
        found = next((s for s in LABEL_SETS.values() if len(s) == first.labels), None)
    if found is None:
        raise UsageError(
            f"{first.name} and {second.name} answer {first.labels} labels, which no label set here "
            "has; compare with the checkpoint or the bundle"
        )
    return found


def verify(
    first: Subject,
    second: Subject,
    tensors: Sequence[Float32Array],
    measured_on: str,
    *,
    limits: VerifyLimits | None = None,
    last: StageName = "decisions",
) -> Verification:
    """Ask both about the same pictures and compare their answers.

    Args:
        first: the reference.
        second: what is held against it.
        tensors: (1, 3, S, S) float32 each, at least one.
        measured_on: what they are.
        limits: what must hold.
        last: stage after which to stop.

    Raises:
        ConfigurationError: subjects that cannot be one model.
        UsageError: no picture.
        GateFailed: answers of different shape, or not finite.
        BackendUnavailable, IncompatibleError: an engine that is absent or cannot run one of them.
    """
    limits = limits or VerifyLimits()
    require_same(first, second)
    if not len(tensors):
        raise UsageError("no picture to ask about; give another table or draw more phantoms")
    labels = label_set_of(first, second)
    neutral = _neutral(labels)
    points = [first.point or second.point or neutral, second.point or first.point or neutral]
    parity = compare_answers(
        (first.name, first.ask(tensors), points[0]),
        (second.name, second.ask(tensors), points[1]),
        labels,
    )
    both_exact = first.exact and second.exact
    every = {
        "tensors": _tensors(parity, limits.tensors if both_exact else math.inf),
        "maps": _maps(parity, limits),
        "probabilities": _probabilities(parity, limits.probabilities),
        "decisions": _decisions(parity, limits.flips),
    }
    return Verification(
        first=first.name,
        second=second.name,
        pictures=len(tensors),
        measured_on=measured_on,
        stages=tuple(Stage(n, *every[n]) for n in STAGES[: STAGES.index(last) + 1]),
        parity=parity,
    )


def _neutral(labels: LabelSet) -> OperatingPoint:
    return OperatingPoint(
        temperatures=dict.fromkeys(labels.names, 1.0),
        thresholds=dict.fromkeys(labels.names, 0.5),
        fitted_on="nothing: neither form says",
    )


def _tensors(parity: Parity, limit: float) -> tuple[bool, str]:
    largest = max(parity.logits.largest, parity.score_maps.largest)
    allowed = "no limit where one is not FP32" if math.isinf(limit) else f"{limit:.0e} is allowed"
    return math.isfinite(largest) and largest <= limit, (
        f"tensors: logits differ by at most {parity.logits.largest:.1e}, score maps by "
        f"{parity.score_maps.largest:.1e}; {allowed}"
    )


def _maps(parity: Parity, limits: VerifyLimits) -> tuple[bool, str]:
    maps = parity.maps
    rank, shift = maps.least_rank_median, maps.greatest_shift_median
    worst = min((value for value in maps.rank_worst if value is not None), default=1.0)
    return rank >= limits.rank_correlation and shift <= limits.peak_shift, (
        f"maps: rank correlation {rank:.3f} (median of the worst label; worst map {worst:.3f}), "
        f"peaks move by {shift:.1f} cells (median of the worst label); "
        f"{limits.rank_correlation:g} and {limits.peak_shift:g} are the limits"
    )


def _probabilities(parity: Parity, limit: float) -> tuple[bool, str]:
    found = parity.probabilities
    return math.isfinite(found.largest) and found.largest <= limit, (
        f"probabilities: differ by {found.mean:.1e} on average and {found.largest:.1e} at most; "
        f"{limit:g} is allowed"
    )


def _decisions(parity: Parity, limit: float) -> tuple[bool, str]:
    return parity.flips / parity.decisions < limit or parity.flips == 0, (
        f"decisions: {parity.flips} of {parity.decisions:,} label decisions differ "
        f"({parity.flips_per_thousand:.1f} per 1,000), farthest {parity.farthest_flip:.3f} from "
        f"its threshold; fewer than {1000 * limit:g} per 1,000 may"
    )
