"""The report's figures, each named by what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from realmnet_benchmarks.bootstrap import Interval
from realmnet_benchmarks.metrics import Floats
from realmnet_benchmarks.pages.document import Figure
from realmnet_benchmarks.pages.drawing import COLOURS, FAINT, INK, axes_of, draw, line_style
from realmnet_benchmarks.reliability import reliability_curves
from realmnet_benchmarks.reproduction.measured import Measured

_BARS: Final = "Bars show AP macro, whiskers its 95 % interval by patient."


def ranking_figures(table: Measured) -> tuple[Figure, Figure]:
    """ROC and precision-recall curves of each label."""
    title = f"{table.facts.model}: receiver operating characteristic of each label"
    roc = draw("roc", title, 6, 5, lambda sheet: _roc(sheet, table))
    other = f"{table.facts.model}: precision against recall of each label"
    recall = draw("precision-recall", other, 6, 5, lambda sheet: _precision(sheet, table))
    caption = f"Table {table.test.name}. Labels without positives or without negatives have no line"
    return (
        Figure("roc", title, f"{caption}; the number is AUROC in %.", roc),
        Figure("precision-recall", other, f"{caption}; the number is AP in %.", recall),
    )


def _roc(sheet: Sheet, table: Measured) -> None:
    axes = axes_of(sheet, "", "false positive rate", "true positive rate (recall)")
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
    for number, name, truth, scores in _drawable(table):
        across, up, _ = roc_curve(truth, scores)
        value = 100 * table.label_value("auroc", number)
        axes.plot(across, up, label=f"{name} {value:.1f}", **line_style(number))
    _frame(axes)


def _precision(sheet: Sheet, table: Measured) -> None:
    axes = axes_of(sheet, "", "recall", "precision")
    for number, name, truth, scores in _drawable(table):
        up, across, _ = precision_recall_curve(truth, scores)
        value = 100 * table.label_value("ap", number)
        style = line_style(number)
        # Steps, as average precision is their sum without interpolation.
        axes.plot(across, up, drawstyle="steps-pre", label=f"{name} {value:.1f}", **style)
    _frame(axes)


def _drawable(table: Measured) -> list[tuple[int, str, NDArray[np.uint8], Floats]]:
    scores, columns = table.scores.probabilities, table.scores.labels
    return [
        (number, name, columns[:, number], scores[:, number])
        for number, name in enumerate(table.test.labels)
        if 0 < columns[:, number].sum() < len(columns)
    ]


def _frame(axes: Axes) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def protocol_figure(groups: Mapping[str, Sequence[tuple[str, Interval]]]) -> Figure:
    """Bars of each model under each protocol and source.

    Args:
        groups: `CIP`, `MRP SUSTech` and so on to models with the interval of AP macro.
    """
    models = list(dict.fromkeys(name for bars in groups.values() for name, _ in bars))
    title = "Protocols compared: AP macro of each model"

    def paint(sheet: Sheet) -> None:
        axes = axes_of(sheet, "", "", "AP macro, %")
        width = 0.8 / max(1, len(models))
        for number, model in enumerate(models):
            at = [
                (place + width * (number - (len(models) - 1) / 2), interval)
                for place, bars in enumerate(groups.values())
                for name, interval in bars
                if name == model
            ]
            _bars(axes, at, width, COLOURS[number % len(COLOURS)], model)
        _name_bars(axes, list(groups))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    svg = draw("protocols", title, 9, 4.2, paint)
    return Figure("protocols", title, f"{_BARS} Threshold-free.", svg)


def source_figure(table: Measured, values: Mapping[str, Mapping[str, Interval]]) -> Figure:
    """Bars of the reference model on each source of the test table."""
    title = f"{table.facts.model} on each source: AP macro"

    def paint(sheet: Sheet) -> None:
        axes = axes_of(sheet, "", "", "AP macro, %")
        bars = [(float(place), each["ap_macro"]) for place, each in enumerate(values.values())]
        _bars(axes, bars, 0.6, COLOURS[0], "")
        _name_bars(axes, list(values))

    svg = draw("per-source", title, 7, 3.6, paint)
    caption = f"{_BARS} Means over the labels that occur at a source, so sources differ in labels."
    return Figure("per-source", title, caption, svg)


def _name_bars(axes: Axes, names: Sequence[str]) -> None:
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_ylim(0, 100)
    axes.grid(visible=False, axis="x")


def _bars(
    axes: Axes,
    at: Sequence[tuple[float, Interval]],
    width: float,
    colour: str,
    name: str,
) -> None:
    places = [place for place, _ in at]
    tops = np.array([[i.estimate, i.low, i.high] for _, i in at], dtype=np.float64) * 100
    tops = tops.reshape(-1, 3)
    # A percentile interval need not hold its estimate; a whisker cannot point the other way.
    spread = np.maximum([tops[:, 0] - tops[:, 1], tops[:, 2] - tops[:, 0]], 0)
    axes.bar(places, tops[:, 0], width, color=colour, alpha=0.75, label=name)
    axes.errorbar(places, tops[:, 0], spread, fmt="none", ecolor=INK, capsize=2, linewidth=1)


def efficiency_figure(tables: Sequence[Measured]) -> Figure | None:
    """AP macro over the share of training images, a line each size of picture; or None."""
    points: dict[str, list[tuple[float, Interval]]] = {}
    for table in tables:
        share = table.facts.factors.get("share")
        if isinstance(share, int | float):
            line = f"{table.facts.model}, {table.facts.image} px"
            points.setdefault(line, []).append((100 * share, table.by_patient["ap_macro"]))
    if not points:
        return None
    title = "Label efficiency: AP macro over the share of the training images"

    def paint(sheet: Sheet) -> None:
        axes = axes_of(sheet, "", "share of the training images, %", "AP macro, %")
        for number, (name, line) in enumerate(sorted(points.items())):
            line.sort(key=lambda point: point[0])
            across = [share for share, _ in line]
            low, middle, high = (
                [100 * float(getattr(i, part)) for _, i in line]
                for part in ("low", "estimate", "high")
            )
            axes.plot(across, middle, marker="o", label=name, **line_style(number))
            axes.fill_between(across, low, high, color=COLOURS[number % 8], alpha=0.15, lw=0)
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    svg = draw("label-efficiency", title, 7, 4, paint)
    return Figure("label-efficiency", title, "Bands are 95 % intervals by patient.", svg)


def confusion_figure(table: Measured, grades: Sequence[str], counts: NDArray[np.int64]) -> Figure:
    """Answered by true grade; shades are shares of a column."""
    title = f"{table.facts.model}: confusion of grades"
    shares = counts / np.maximum(counts[:-1].sum(axis=0), 1)

    def paint(sheet: Sheet) -> None:
        axes = axes_of(sheet, "", "true grade", "answered grade")
        axes.grid(visible=False)
        for row, column in np.ndindex(counts.shape):
            shade = COLOURS[0] if row < len(grades) else COLOURS[1]
            y = row + (row == len(grades)) * 0.2
            axes.barh(y, 1, 1, column - 0.5, color=shade, alpha=0.6 * float(shares[row, column]))
            words = f"{counts[row, column]:,}\n{100 * shares[row, column]:.0f} %"
            axes.text(column, y, words, ha="center", va="center")
        places = [*range(len(grades)), len(grades) + 0.2]
        axes.set_yticks(places, [*grades, "inconsistent"])
        axes.set_xticks(range(len(grades)), list(grades))
        axes.set(xlim=(-0.5, len(grades) - 0.5), ylim=(len(grades) + 0.7, -0.5))

    caption = (
        "Answered is the grade of the highest probability; percentages are of the images with the "
        "true grade. The lowest row counts again the images of which not exactly one grade "
        "reaches 0.5."
    )
    return Figure("confusion-drawn", title, caption, draw("confusion-drawn", title, 6, 5, paint))


def reliability_figure(table: Measured) -> Figure:
    """Observed share over mean score of each label, as trained and after temperatures."""
    title = f"{table.facts.model}: reliability of each label"
    kinds = [("as trained", table.scores.probabilities, COLOURS[1], "o")]
    if table.scores.calibrated is not None:
        kinds.append(("after temperatures", table.scores.calibrated, COLOURS[0], "s"))
    curves = [
        (name, reliability_curves(table.scores.labels, scores), colour, marker)
        for name, scores, colour, marker in kinds
    ]
    across = 4
    down = -(-len(table.test.labels) // across)

    def paint(sheet: Sheet) -> None:
        for number, label in enumerate(table.test.labels):
            place = (down, across, number + 1)
            axes = axes_of(sheet, label, "mean score", "observed share", place)
            axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
            for name, curve, colour, marker in curves:
                x, y = curve.mean_score[number], curve.observed[number]
                spread = np.maximum([y - curve.low[number], curve.high[number] - y], 0)
                axes.errorbar(
                    x,
                    y,
                    spread,
                    color=colour,
                    marker=marker,
                    ms=3,
                    lw=1,
                    elinewidth=0.6,
                    label=name,
                )
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        handles, names = sheet.axes[0].get_legend_handles_labels()
        sheet.legend(handles, names, loc="outside lower center", ncols=2)

    svg = draw("reliability", title, 9, 2.3 * down + 0.3, paint)
    caption = (
        "Ten bins of equal width; whiskers are Wilson's 95 % intervals as if images were "
        "independent. Empty bins have no point."
    )
    return Figure("reliability", title, caption, svg)
