"""Drawings as elements of a page: one SVG each, its colours the page's, nothing loaded.

Matplotlib draws with stand-in colours; they become CSS variables, so that a drawing follows the
reader's light or dark scheme. Text stays text.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK: Final = "#010203"
FAINT: Final = "#010204"
PAPER: Final = "#010205"
COLOURS: Final = tuple(f"#01030{number}" for number in range(8))
DASHES: Final = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 3)))

VARIABLES: Final = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    PAPER: "var(--paper)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(COLOURS)},
}

_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": FAINT,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.5,
}
_PROLOGUE: Final = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_NAMESPACES: Final = re.compile(r'\s+xmlns(:\w+)?="[^"]*"')
_METADATA: Final = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_NO_METADATA: Final = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def draw(key: str, title: str, width: float, height: float, paint: Callable[[Figure], None]) -> str:
    """Draw one picture.

    Args:
        key: unique in the page; prefixes every id of the drawing.
        title: read to those who cannot see it.
        width: inches at 72 units each.
        height: likewise.
        paint: draws into an empty figure.

    Returns:
        An `<svg>` element without references to anything outside it.
    """
    # Matplotlib types its settings as literals that differ between its releases.
    style: Any = {**_STYLE, "svg.hashsalt": key}
    with mpl.rc_context(style):
        figure = Figure(figsize=(width, height), layout="constrained")
        paint(figure)
        held = io.StringIO()
        figure.savefig(
            held, format="svg", metadata=_NO_METADATA, bbox_inches="tight", pad_inches=0.15
        )
    return _as_element(held.getvalue(), key, title)


def axes_of(
    figure: Figure, title: str, x: str, y: str, place: tuple[int, int, int] = (1, 1, 1)
) -> Axes:
    """Add axes with words at all sides; `place` is rows, columns and number of the cell."""
    axes = figure.add_subplot(*place)
    axes.set(title=title, xlabel=x, ylabel=y)
    return axes


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of the n-th line: told apart without colour as well."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}


def _as_element(text: str, key: str, title: str) -> str:
    text = _METADATA.sub("", _NAMESPACES.sub("", _PROLOGUE.sub("", text)))
    for before, after in (
        ('id="', f'id="{key}-'),
        ("url(#", f"url(#{key}-"),
        ('href="#', f'href="#{key}-'),
        *VARIABLES.items(),
    ):
        text = text.replace(before, after)
    label = html.escape(title, quote=True)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()
