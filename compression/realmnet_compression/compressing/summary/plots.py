"""Two plots of a compression: accuracy against latency, and flips of each label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure as Sheet

from realmnet_benchmarks.pages.document import Figure
from realmnet_benchmarks.pages.drawing import COLOURS, axes_of, draw
from realmnet_compression.compressing.metrics import VariantFigures

_MARKERS: Final = "osD^vP*X"


def accuracy_figure(
    table: str, figures: Sequence[VariantFigures], ratios: Mapping[str, float]
) -> Figure:
    """Macro average precision against latency by FP32's in onnxruntime, a point a variant.

    Args:
        table: evidence table.
        figures: of variants that answered it.
        ratios: latency of each.
    """
    key, title = f"accuracy-{table}", f"Accuracy against latency on table {table}"

    def paint(sheet: Sheet) -> None:
        axes = axes_of(sheet, "", "latency / FP32 in onnxruntime", "mAP, %")
        for number, found in enumerate(figures):
            accuracy = found.tables[table].measures.get("ap_macro", float("nan"))
            axes.scatter(
                ratios[found.variant],
                100 * accuracy,
                s=40 + 2.0 * found.bytes / 1e6,
                color=COLOURS[number % len(COLOURS)],
                marker=_MARKERS[number % len(_MARKERS)],
                label=f"{found.variant}, {found.bytes / 1e6:.1f} MB",
            )
        axes.set_xlim(left=0.0)
        # differences below a tenth of a point are not to look large
        low, high = axes.get_ylim()
        middle = (low + high) / 2
        axes.set_ylim(min(low, middle - 1.0), max(high, middle + 1.0))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    caption = "Batch 1; a point's area grows with the file."
    return Figure(key, title, caption, draw(key, title, 7, 4, paint))


def flips_figure(table: str, figures: Sequence[VariantFigures]) -> Iterator[Figure]:
    """Label decisions of 1,000 that differ from FP32, a group of bars a label.

    Args:
        table: evidence table.
        figures: of variants that answered it; FP32 itself is left out, and alone gives nothing.
    """
    flips = {f.variant: found for f in figures if (found := f.tables[table].flips) is not None}
    if not flips:
        return
    key, title = f"flips-{table}", f"Decisions that differ from FP32 on table {table}"

    def paint(sheet: Sheet) -> None:
        axes = axes_of(sheet, "", "", "of 1,000 decisions")
        width = 0.8 / len(flips)
        for number, (name, found) in enumerate(flips.items()):
            by_label = found.per_thousand_by_label
            places = np.arange(len(by_label)) + width * (number - (len(flips) - 1) / 2)
            colour = COLOURS[number % len(COLOURS)]
            axes.bar(places, list(by_label.values()), width, color=colour, label=name)
            axes.set_xticks(np.arange(len(by_label)), list(by_label))
        axes.grid(visible=False, axis="x")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

    yield Figure(
        key, title, "Each variant at its own operating point.", draw(key, title, 8, 3.5, paint)
    )
