"""OpenCV's resize of a picture of any size to the model's square, in ONNX operators.

Equal bytes matter: a quantised network can turn one byte that differs by one into a probability
that differs by a hundredth. So the averages are added up as OpenCV adds them, source pixel after
source pixel in float32, first along the rows and then down the columns, and nothing is left to an
engine's order of additions. Along a side of L pixels that become n, source pixel j covers j * n
to (j + 1) * n and pixel i of the answer i * L to (i + 1) * L: their overlap is a whole number. An
enlargement blends two neighbours with OpenCV's weights of eight bits. The rounding between the
steps is OpenCV's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from realmnet_compression.embedding.builder import GraphBuilder
from realmnet_runtime.pictures.preprocess import PreprocessSpec

_ROWS, _COLUMNS = 1, 2
_LEAST_SHARE_DIVISOR: Final = 1000
_UNIT: Final = 256


@dataclass(frozen=True)
class _Side:
    """One side of the picture; names of (1,) int64 values.

    Attributes:
        axis: of a (3, h, w) picture.
        length: of the crop, pixels.
        target: pixels of the square that it fills.
        start: first of them.
        shrunk: the smaller of length and target.
    """

    axis: int
    length: str
    target: str
    start: str
    shrunk: str


def add_resize(build: GraphBuilder, spec: PreprocessSpec, crop: str) -> str:
    """Add the resize of a crop.

    Args:
        build: takes the nodes.
        spec: names the filter and the fit, S its size.
        crop: name of a (3, h, w) float32 value, whole numbers 0..255.

    Returns:
        Name of the (3, S, S) float32 value, whole numbers 0..255, black where a padded crop does
        not reach.
    """
    rows, columns = _sides(build, spec, crop)
    if spec.resize == "area":
        shrunk = _average(build, spec.size, crop, rows, columns)
        rows, columns = (replace(side, length=side.shrunk) for side in (rows, columns))
        return _blend(build, spec, shrunk, rows, columns)
    return _blend(build, spec, crop, rows, columns)


def _sides(build: GraphBuilder, spec: PreprocessSpec, crop: str) -> tuple[_Side, _Side]:
    shape = build.node("Shape", crop)
    height, width = (
        build.node("Gather", shape, build.integers(axis)) for axis in (_ROWS, _COLUMNS)
    )
    longer = build.node("Max", height, width)
    return (
        _side(build, spec, _ROWS, (height, longer)),
        _side(build, spec, _COLUMNS, (width, longer)),
    )


def _side(build: GraphBuilder, spec: PreprocessSpec, axis: int, lengths: tuple[str, str]) -> _Side:
    length, longer = lengths
    size, one, two = build.integers(spec.size), build.integers(1), build.integers(2)
    target = size
    if spec.fit == "pad":
        target = build.node("Max", one, _halves_to_even(build, length, size, longer))
    gap = build.node("Sub", size, target)
    shrunk = build.node("Min", target, length)
    return _Side(axis, length, target, build.node("Div", gap, two), shrunk)


def _halves_to_even(build: GraphBuilder, length: str, size: str, longer: str) -> str:
    """round(length * size / longer) as Python rounds, in whole numbers."""
    product = build.node("Mul", length, size)
    quotient = build.node("Div", product, longer)
    rest = build.node("Sub", product, build.node("Mul", quotient, longer))
    twice = build.node("Mul", rest, build.integers(2))
    odd = build.node("Mod", quotient, build.integers(2))
    up = build.node("Greater", build.node("Add", twice, odd), longer)
    return build.node("Add", quotient, build.as_integer(up))


def _average(build: GraphBuilder, size: int, crop: str, rows: _Side, columns: _Side) -> str:
    """The crop averaged to its smaller sides, at the upper left of the square, rounded."""
    # By whole numbers OpenCV adds whole pixels and multiplies their sum once; otherwise each
    # pixel has its share as a fraction.
    by_whole = build.node("And", _is_multiple(build, rows), _is_multiple(build, columns))
    total = _add_up(build, size, crop, columns, by_whole)
    total = _add_up(build, size, total, rows, by_whole)
    one = build.real(1.0)
    area = build.node("Mul", _step(build, rows), _step(build, columns))
    factor = build.node("Where", by_whole, _quotient(build, one, area), one)
    mean = build.node("Mul", total, factor)
    # Its short way for squares of two by two rounds halves up, every other rounds them to even.
    up = build.node("Floor", build.node("Add", mean, build.real(0.5)))
    halved = build.node("And", _is_halved(build, rows), _is_halved(build, columns))
    return build.node("Where", halved, up, build.node("Round", mean))


def _add_up(build: GraphBuilder, size: int, picture: str, side: _Side, by_whole: str) -> str:
    """Sums along one axis: the first source pixel of each sum, then the second, and so on."""
    indices, weights, count = _shares(build, size, side, by_whole)

    def term(into: GraphBuilder, turn: str) -> str:
        weight = _along(into, side, into.node("Gather", weights, turn, axis=0))
        index = into.node("Gather", indices, turn, axis=0)
        return into.node("Mul", into.node("Gather", picture, index, axis=side.axis), weight)

    zero, one = (build.constant(np.array(value, np.int64)) for value in (0, 1))
    first = term(build, zero)
    nothing = build.node("Mul", first, build.real(0.0))
    # Each turn adds what the turn before it multiplied: an engine that found product and sum
    # side by side would round them once instead of twice.
    total, latest = build.loop(
        build.node("Sub", count, one),
        (nothing, first),
        lambda into, turn, sums, product: (
            into.node("Add", sums, product),
            term(into, into.node("Add", turn, one)),
        ),
    )
    return build.node("Add", total, latest)


def _shares(build: GraphBuilder, size: int, side: _Side, by_whole: str) -> tuple[str, str, str]:
    """Source pixels of each pixel of the answer and their weights.

    Returns:
        Names of (K, S) int64 indices, (K, S) float32 weights, 0 for what takes no part, and of
        K, a scalar int64.
    """
    zero, one, two = (build.constant(np.array(value, np.int64)) for value in (0, 1, 2))
    number, length = build.node("Squeeze", side.shrunk), build.node("Squeeze", side.length)
    last = build.node("Sub", length, one)
    count = build.node("Add", build.node("Div", last, number), two)
    turns = build.node("Unsqueeze", build.node("Range", zero, count, one), build.integers(1))
    answer = build.constant(np.arange(size, dtype=np.int64))
    begin = build.node("Mul", answer, length)
    source = build.node("Add", build.node("Div", begin, number), turns)
    covered = build.node("Mul", source, number)
    units = build.node(
        "Sub",
        build.node("Min", build.node("Add", covered, number), build.node("Add", begin, length)),
        build.node("Max", covered, begin),
    )
    # OpenCV leaves out a share of a pixel that is below a thousandth.
    counts = build.node(
        "Greater", build.node("Mul", units, build.integers(_LEAST_SHARE_DIVISOR)), number
    )
    inside = build.node("Less", source, length)
    units = build.node("Where", build.node("And", counts, inside), units, zero)
    whole = build.as_real(build.node("Where", by_whole, number, length))
    weights = _quotient(build, build.as_real(units), whole)
    return build.node("Min", source, last), weights, count


def _quotient(build: GraphBuilder, part: str, whole: str) -> str:
    """The quotient of whole numbers in float32, 0..1, rounded to the nearest.

    OpenVINO multiplies by a reciprocal, which is off by one in the last place as often as not.
    What its quotient leaves over is small and, multiplied in two parts, almost exactly known.
    """
    rough = build.node("Div", part, whole)
    unit = build.real(1024.0)
    head = build.node("Div", build.node("Floor", build.node("Mul", rough, unit)), unit)
    tail = build.node("Sub", rough, head)
    left = build.node("Sub", part, build.node("Mul", head, whole))
    left = build.node("Sub", left, build.node("Mul", tail, whole))
    return build.node("Add", rough, build.node("Div", left, whole))


def _step(build: GraphBuilder, side: _Side) -> str:
    return build.node("Div", build.as_real(side.length), build.as_real(side.shrunk))


def _is_multiple(build: GraphBuilder, side: _Side) -> str:
    rest = build.node("Mod", side.length, side.shrunk)
    return build.node("Equal", rest, build.integers(0))


def _is_halved(build: GraphBuilder, side: _Side) -> str:
    return build.node("Equal", side.length, build.node("Mul", side.shrunk, build.integers(2)))


def _blend(
    build: GraphBuilder, spec: PreprocessSpec, picture: str, rows: _Side, columns: _Side
) -> str:
    """Two neighbours blended onto the square; a side of the right length is only moved."""
    for side in (columns, rows):
        parts = []
        for index, weight in _taps(build, spec.size, side):
            pixels = build.node("Gather", picture, index, axis=side.axis)
            parts.append(build.node("Mul", pixels, _along(build, side, weight)))
        picture = build.node("Add", *parts)
    scaled = build.node("Mul", picture, build.real(1.0 / _UNIT**2))
    return build.node("Floor", build.node("Add", scaled, build.real(0.5)))


def _places(build: GraphBuilder, size: int, side: _Side) -> tuple[str, str, str, str]:
    """Where each pixel of the square lies in the source.

    Returns:
        Names of (S,) values: the neighbour before it (int64, -1 at least), twice `target` times
        what it lies beyond that neighbour (int64), 1.0 inside the placement and 0.0 outside of
        it, and (1,) int64 the source's last index.
    """
    position = build.node("Sub", build.constant(np.arange(size, dtype=np.int64)), side.start)
    zero, one, two = (build.integers(value) for value in (0, 1, 2))
    inside = build.node(
        "And",
        build.node("GreaterOrEqual", position, zero),
        build.node("Less", position, side.target),
    )
    position = build.node("Max", position, zero)
    middle = build.node("Add", build.node("Mul", position, two), one)
    units = build.node("Sub", build.node("Mul", middle, side.length), side.target)
    whole = build.node("Mul", side.target, two)
    # Moved up by one pixel, so that a division of whole numbers is one of positive ones.
    moved = build.node("Add", units, whole)
    before = build.node("Div", moved, whole)
    rest = build.node("Sub", moved, build.node("Mul", before, whole))
    last = build.node("Sub", side.length, one)
    return build.node("Sub", before, one), rest, build.as_real(inside), last


def _taps(build: GraphBuilder, size: int, side: _Side) -> list[tuple[str, str]]:
    """Index and weight of both neighbours, weights in 256ths as `INTER_LINEAR_EXACT` has them."""
    before, rest, inside, last = _places(build, size, side)
    between = build.node(
        "And",
        build.node("GreaterOrEqual", before, build.integers(0)),
        build.node("Less", before, last),
    )
    units = build.as_real(build.node("Mul", rest, build.integers(_UNIT // 2)))
    share = build.node("Round", build.node("Div", units, build.as_real(side.target)))
    later = build.node("Mul", share, build.node("Mul", build.as_real(between), inside))
    sooner = build.node("Sub", build.node("Mul", build.real(_UNIT), inside), later)
    return [
        (_within(build, before, last), sooner),
        (_within(build, build.node("Add", before, build.integers(1)), last), later),
    ]


def _along(build: GraphBuilder, side: _Side, weights: str) -> str:
    """Weights of rows stand in a column, those of columns in a row."""
    return build.node("Unsqueeze", weights, build.integers(1)) if side.axis == _ROWS else weights


def _within(build: GraphBuilder, index: str, last: str) -> str:
    return build.node("Min", build.node("Max", index, build.integers(0)), last)
