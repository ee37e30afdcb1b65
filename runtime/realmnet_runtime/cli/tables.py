"""Answers as tables for people."""

from __future__ import annotations

import io
import shutil
import sys
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.cli.outputs import emit
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.proof.receipt import Receipt

_BAR_CELLS = 20


def print_renderable(what: RenderableType) -> None:
    """Print on stdout, with colour where stdout is a terminal; errors as `emit`."""
    # Left to print itself, rich ends the process with code 1 where the reader of a pipe has gone.
    page = io.StringIO()
    Console(
        file=page,
        force_terminal=sys.stdout.isatty(),
        width=shutil.get_terminal_size().columns,
        highlight=False,
    ).print(what)
    emit(page.getvalue())


def prediction_table(title: str, prediction: Prediction, labels: LabelSet) -> RenderableType:
    """The probabilities with their thresholds, the reading, the box and where the time went.

    Args:
        title: what the person typed for the picture.
        prediction: its answer.
        labels: of the model, for their plain meaning.
    """
    name = Text(title, style="bold")
    below = (facts_table(_facts(prediction)), Text(prediction.notice, style="bold"), "")
    if prediction.withheld:
        return Group(name, *below)
    table = Table(title=name, title_justify="left", expand=False)
    table.add_column("label", no_wrap=True)
    table.add_column("meaning")
    table.add_column("probability", no_wrap=True)
    table.add_column("threshold", justify="right", no_wrap=True)
    table.add_column("found", justify="center", no_wrap=True)
    for label in labels.labels:
        probability = prediction.probabilities[label.name]
        found = label.name in prediction.findings
        table.add_row(
            label.name,
            Text(label.meaning),
            f"{probability:.3f} {_bar(probability)}",
            f"{prediction.thresholds[label.name]:.3f}",
            "yes" if found else "",
            style="bold" if found else "",
        )
    return Group(table, *below)


def facts_table(facts: dict[str, Any]) -> Table:
    """Two columns without a frame: what, and its value."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        # As text: rich would take the brackets of an extra for its own markup.
        table.add_row(name, Text(str(value)))
    return table


def receipt_facts(receipt: Receipt) -> dict[str, str]:
    """What a receipt says, for `facts_table`."""
    tested = receipt.conditions
    engine = tested.engine
    return {
        "self-test": "passed" if receipt.passed else "failed",
        "model": f"{receipt.model}, bundle {tested.bundle_sha256[:12]}",
        "run by": (
            f"{engine.engine} {engine.version}, {tested.variant}, computed in {engine.precision}, "
            f"threads: {engine.threads}"
        ),
        "compiled form": (tested.prepared_sha256 or "compiled when it was loaded")[:27],
        "golden cases": str(receipt.cases),
        "largest deviations": ", ".join(f"{k} {v:.3g}" for k, v in receipt.largest.items()),
        "decisions": "unchanged" if receipt.decisions_unchanged else "changed",
        "failures": "\n".join(receipt.failures) or "none",
        "time": receipt.time.isoformat(),
    }


def _facts(prediction: Prediction) -> dict[str, Any]:
    x0, y0, x1, y1 = prediction.box
    height, width = prediction.original_size
    total = sum(prediction.timings_ms.values())
    stages = " + ".join(f"{stage} {ms:.1f}" for stage, ms in prediction.timings_ms.items())
    answered = {
        "findings": ", ".join(prediction.findings) or "none",
        "META-PM grade": _or_undecided(prediction.grade),
        "posterior staphyloma": _yes_no(prediction.staphyloma),
        "pathologic myopia": _yes_no(prediction.pathologic_myopia),
    }
    facts = {
        "quality": prediction.quality.summary,
        **({} if prediction.withheld else answered),
        "field of view": f"x {x0}..{x1}, y {y0}..{y1} of {width} x {height} pixels",
        "time": f"{total:.1f} ms = {stages}",
        "run by": (
            f"{prediction.engine} {prediction.engine_version}, {prediction.variant}, "
            f"computed in {prediction.precision}, threads: {prediction.threads}"
        ),
        "because": prediction.chosen_because,
        "model": f"{prediction.model}, bundle {prediction.bundle_sha256[:12]}",
        "image sha256": prediction.input_sha256,
    }
    if prediction.inconsistencies:
        facts["inconsistent"] = "; ".join(prediction.inconsistencies)
    return facts


def _bar(probability: float) -> str:
    full = round(probability * _BAR_CELLS)
    return "█" * full + "·" * (_BAR_CELLS - full)


def _yes_no(value: bool | None) -> str:
    return _or_undecided(None if value is None else ("yes" if value else "no"))


def _or_undecided(value: object) -> str:
    return "undecided (see inconsistent)" if value is None else str(value)
