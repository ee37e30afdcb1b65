"""Two plots of a compression: accuracy against latency, and flips of each label."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from realmnet_compression.compressing.metrics import VariantFigures


def draw_accuracy(figures: Sequence[VariantFigures], ratios: dict[str, float], table: str) -> bytes:
    """Macro average precision against latency by FP32's in onnxruntime, a point a variant.

    Args:
        figures: of variants that answered the table.
        ratios: latency of each.
        table: evidence table.

    Returns:
        A PNG; equal figures give equal bytes.
    """
    # without pyplot, which would keep every figure and look for a screen
    figure = Figure(figsize=(7, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for number, found in enumerate(figures):
        accuracy = found.tables[table].measures.get("ap_macro", float("nan"))
        axes.scatter(
            ratios[found.variant],
            accuracy,
            s=40 + 2.0 * found.bytes / 1e6,
            marker="osD^vP*X"[number % 8],
            label=f"{found.variant}, {found.bytes / 1e6:.1f} MB",
        )
    axes.set_xlabel("latency / FP32 in onnxruntime (batch 1)")
    axes.set_ylabel("mAP")
    axes.set_xlim(left=0.0)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize=8)
    return _finished(figure, figures, table)


def draw_flips(figures: Sequence[VariantFigures], table: str) -> bytes:
    """Label decisions of 1,000 that differ from FP32, a group of bars a label.

    Args:
        figures: of variants that answered the table; FP32 itself is left out.
        table: evidence table.

    Returns:
        A PNG; equal figures give equal bytes.
    """
    figure = Figure(figsize=(8, 4), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    shown = [found for found in figures if found.tables[table].flips is not None]
    width = 0.8 / max(1, len(shown))
    for number, found in enumerate(shown):
        flips = found.tables[table].flips
        by_label = {} if flips is None else flips.per_thousand_by_label
        places = np.arange(len(by_label)) + width * (number - (len(shown) - 1) / 2)
        axes.bar(places, list(by_label.values()), width, label=found.variant)
        axes.set_xticks(np.arange(len(by_label)), list(by_label))
    axes.set_ylabel("decisions of 1,000 that differ from FP32")
    axes.grid(axis="y", alpha=0.3)
    if shown:
        axes.legend(loc="best", fontsize=8)
    return _finished(figure, figures, table)


def _finished(figure: Figure, figures: Sequence[VariantFigures], table: str) -> bytes:
    FigureCanvasAgg(figure)
    facts = figures[0].tables[table]
    figure.suptitle(
        f"table {table}: {facts.images:,} pictures, measured on {facts.measured_on}", fontsize=10
    )
    held = io.BytesIO()
    # the version that drew it would make equal pictures differ
    figure.savefig(held, format="png", metadata={"Software": None})
    return held.getvalue()
