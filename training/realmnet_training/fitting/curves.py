"""Curves of a run: loss, learning rate and development metrics of every epoch."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_DEVELOPMENT: Final = {"mAP": "ap_macro", "AUROC": "auroc_macro", "F1 at 0.5": "f1_macro"}


def draw_curves(epochs: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """Draw what the lines of a run's `metrics.jsonl` say.

    Args:
        epochs: lines in order, each with `epoch`, `stage`, `image`, `loss`, `lr` and
            `development`, which is None without a development table; null is a gap.
        title: over the picture.

    Returns:
        A PNG of 1200 x 400 pixels; equal lines give equal bytes.
    """
    # without pyplot, which would keep every figure and look for a screen
    figure = Figure(figsize=(12, 4), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    loss, rate, development = figure.subplots(1, 3)
    numbers = [line["epoch"] for line in epochs]
    loss.plot(numbers, _values(line["loss"] for line in epochs), marker=".")
    rate.plot(numbers, _values(line["lr"] for line in epochs), marker=".")
    for name, key in _DEVELOPMENT.items():
        values = _values((line["development"] or {}).get(key) for line in epochs)
        development.plot(numbers, values, marker=".", label=name)
    named = ("training loss", loss), ("learning rate", rate), ("development", development)
    for name, axes in named:
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        for before, line in itertools.pairwise(epochs):
            if before["stage"] != line["stage"]:
                axes.axvline(line["epoch"] - 0.5, color="grey", linestyle=":")
    development.set_ylim(0.0, 1.0)
    development.legend(loc="best")
    figure.suptitle(title)
    held = io.BytesIO()
    # the version that drew it would make equal pictures differ
    figure.savefig(held, format="png", metadata={"Software": None})
    return held.getvalue()


def _values(given: Any) -> list[float]:  # noqa: ANN401 - numbers of JSON, or None
    return [float("nan") if value is None else float(value) for value in given]
