"""How each measure is named and printed: rates in percent as the paper's tables, losses plain."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from realmnet_benchmarks.bootstrap import Interval
from realmnet_benchmarks.pages.document import NO_FIGURE, NOT_RUN, UNDEFINED, Cell


class Measure(NamedTuple):
    """A measure of `multilabel_metrics`, or `brier_macro`, the mean of `brier_per_label`."""

    title: str
    percent: bool


MEASURES: Final[dict[str, Measure]] = {
    "f1_macro": Measure("F1 macro, %", True),
    "f1_micro": Measure("F1 micro, %", True),
    "precision_macro": Measure("precision macro, %", True),
    "precision_micro": Measure("precision micro, %", True),
    "recall_macro": Measure("recall macro, %", True),
    "recall_micro": Measure("recall micro, %", True),
    "ap_macro": Measure("AP macro (mAP), %", True),
    "ap_micro": Measure("AP micro, %", True),
    "auroc_macro": Measure("AUROC macro, %", True),
    "auroc_micro": Measure("AUROC micro, %", True),
    "hamming_loss": Measure("Hamming loss", False),
    "coverage": Measure("coverage, labels", False),
    "ranking_loss": Measure("ranking loss", False),
    "brier_macro": Measure("Brier score, mean of labels", False),
}

SHORT: Final = ("f1_macro", "ap_macro", "auroc_macro", "hamming_loss", "coverage")
"""Measures of tables whose rows are variants or sources."""


INTERVALS: Final = "[95 % interval by patient]"


def is_percent(name: str) -> bool:
    """Whether a measure, macro, micro or per label, is printed in percent."""
    return name.startswith(("f1", "precision", "recall", "ap", "auroc"))


def figure(name: str, value: float | None, absent: str = NOT_RUN) -> Cell:
    """A value, a published one or ours; `absent` stands for None."""
    if value is None:
        return Cell(absent)
    if math.isnan(value):
        return Cell(UNDEFINED)
    return Cell(_printed(name, value), value=float(value))


def published(name: str, value: float | None) -> Cell:
    """A published value or that there is none."""
    return figure(name, value, NO_FIGURE)


def difference(name: str, ours: float, theirs: float | None) -> Cell:
    """Ours less the published one; points for percentages."""
    if theirs is None:
        return Cell(NO_FIGURE)
    gap = ours - theirs
    return Cell(UNDEFINED) if math.isnan(gap) else Cell(_printed(name, gap, "+"), value=float(gap))


def span(name: str, low: float, high: float) -> Cell:
    """The bounds of an interval."""
    if math.isnan(low) or math.isnan(high):
        return Cell(UNDEFINED)
    text = f"[{_printed(name, low)}, {_printed(name, high)}]"
    return Cell(text, low=float(low), high=float(high))


def with_span(name: str, interval: Interval, *, signed: bool = False) -> Cell:
    """A value of ours with its interval behind it."""
    value, low, high = map(float, (interval.estimate, interval.low, interval.high))
    if math.isnan(value):
        return Cell(UNDEFINED)
    sign = "+" if signed else ""
    text = _printed(name, value, sign)
    if math.isnan(low):
        return Cell(text, value=value)
    text += f" [{_printed(name, low, sign)}, {_printed(name, high, sign)}]"
    return Cell(text, value=value, low=low, high=high)


def count(value: int) -> Cell:
    """A number of images, patients or parameters."""
    return Cell(f"{value:,}", value=value)


def probability(value: float) -> Cell:
    """A P value."""
    if math.isnan(value):
        return Cell(UNDEFINED)
    return Cell("< 0.001" if value < 0.001 else f"{value:.3f}", value=value)


def _printed(name: str, value: float, sign: str = "") -> str:
    return f"{100 * value:{sign}.2f}" if is_percent(name) else f"{value:{sign}.4f}"
