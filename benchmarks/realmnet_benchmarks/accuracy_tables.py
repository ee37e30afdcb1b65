"""Accuracy as text for people: fractions are printed in percent, differences in points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from realmnet_benchmarks.accuracy import Comparison
from realmnet_benchmarks.bootstrap import Interval
from realmnet_benchmarks.metrics import Floats, MultilabelMetrics

ABSENT = "-"

_MOST_LISTED: Final = 20


def metrics_table(
    metrics: MultilabelMetrics,
    labels: Sequence[str],
    intervals: Mapping[str, Interval] | None = None,
) -> str:
    """A line a label and one of macro values: positives, AP, AUROC, F1, precision, recall.

    Args:
        metrics: of one set of scores.
        labels: (L,) names.
        intervals: of the same metrics; given, those of AP are printed in brackets.
    """
    names = ("ap", "auroc", "f1", "precision", "recall")
    rows = [["label", "positives", "AP %", "AUROC %", "F1 %", "precision %", "recall %"]]
    for index, label in enumerate(labels):
        rows.append([label, f"{metrics['positives'][index]:,}"])
        for name in names:
            value = metrics[f"{name}_per_label"][index]  # type: ignore[literal-required]
            rows[-1].append(_percent(value) + _span(intervals, name, index))
    rows.append(["macro", ""])
    for name in names:
        value = metrics[f"{name}_macro"]  # type: ignore[literal-required]
        rows[-1].append(_percent(value) + _span(intervals, name, None))
    tail = (
        f"micro F1 {_percent(metrics['f1_micro'])} %, Hamming loss {metrics['hamming_loss']:.4f}, "
        f"coverage {metrics['coverage']:.4f}, ranking loss {metrics['ranking_loss']:.4f}"
    )
    return "\n".join([*align(rows), tail])


def comparison_table(comparison: Comparison) -> str:
    """A line a label and one of macro values: AP of both, its difference, and flips."""
    difference = comparison.differences
    rows = [["label", "positives", "AP old %", "AP new %", "new - old, points", "flips/1,000"]]
    for index, label in enumerate(comparison.labels):
        rows.append(
            [
                label,
                f"{comparison.before['positives'][index]:,}",
                _percent(comparison.before["ap_per_label"][index]),
                _percent(comparison.after["ap_per_label"][index]),
                _points(difference["ap_per_label"].of(index)),
                _flips(comparison.flips_per_label.of(index)),
            ]
        )
    rows.append(
        [
            "macro",
            "",
            _percent(comparison.before["ap_macro"]),
            _percent(comparison.after["ap_macro"]),
            _points(difference["ap_macro"]),
            _flips(comparison.flips),
        ]
    )
    head = (
        f"old {comparison.old}, new {comparison.new}: {comparison.images:,} images both answered, "
        f"{comparison.refused_by_one} refused by one only; 95 % intervals by patient"
    )
    tail = f"images with a changed decision per 1,000: {_flips(comparison.changed_images)}"
    return "\n".join([head, *align(rows), tail])


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of equal columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def listed(lines: Iterable[str]) -> Iterator[str]:
    """The first twenty lines, indented, and how many more there are."""
    every = list(lines)
    yield from (f"  {line}" for line in every[:_MOST_LISTED])
    if len(every) > _MOST_LISTED:
        yield f"  and {len(every) - _MOST_LISTED:,} more; --json lists all"


def _span(intervals: Mapping[str, Interval] | None, name: str, index: int | None) -> str:
    if intervals is None or name != "ap":
        return ""
    whole = intervals[f"{name}_macro" if index is None else f"{name}_per_label"]
    interval = whole if index is None else whole.of(index)
    return f" [{_percent(interval.low)}, {_percent(interval.high)}]"


def _percent(value: float | Floats) -> str:
    number = float(value)
    return ABSENT if math.isnan(number) else f"{100 * number:.1f}"


def _points(interval: Interval) -> str:
    values = [100 * float(value) for value in (interval.estimate, interval.low, interval.high)]
    return "{:+.2f} [{:+.2f}, {:+.2f}]".format(*values)


def _flips(interval: Interval) -> str:
    values = [float(value) for value in (interval.estimate, interval.low, interval.high)]
    return "{:.1f} [{:.1f}, {:.1f}]".format(*values)
