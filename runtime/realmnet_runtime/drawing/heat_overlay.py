"""Evidence laid over a picture: blue where there is some, white where there is most.

A fundus in two-laser colour is red and green with almost no blue, so blue to white is told from
it, and, as it only grows lighter, is read without colour vision too. Where there is no evidence,
the pixels are the camera's own.

The scale is fixed, and the same for every label and picture: 0 and less is left alone,
`FULL_EVIDENCE` and more is white. A map of weak evidence is pale, whatever else it holds.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.answering.explain import bounded_size
from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.drawing.lettering import Line, Picture, padded, stacked, text_strip
from realmnet_runtime.drawing.overlay import (
    BACKGROUND,
    BOX,
    FOUND,
    QUIET,
    draw_aperture,
    enlarged,
    require_answered,
)
from realmnet_runtime.errors import UsageError

FULL_EVIDENCE: Final = 6.0
"""Evidence, on the scale of logits, that is drawn white: about the most that the released
demonstration model answers (3.5 to 6.5 at the maximum of a finding)."""

LEAST_SIDE: Final = 256
"""Pixels of a side that still leave room to write."""

_CONTOUR: Final = 0.5
_LETTERS_PER_WIDTH: Final = 85.0
_BAND_ROWS: Final = 256
_BAR_SHARE: Final = 0.4  # of the strip's width

_LEVELS: Final = np.linspace(0.0, 1.0, 256)
_ANCHORS: Final = ((0.0, (30, 60, 255)), (0.6, (60, 190, 255)), (1.0, (255, 255, 255)))
_COLOURS: Final[NDArray[np.uint8]] = (
    np.stack(
        [
            np.interp(
                _LEVELS, [at for at, _ in _ANCHORS], [colour[channel] for _, colour in _ANCHORS]
            )
            for channel in range(3)
        ],
        axis=1,
    )
    .round()
    .astype(np.uint8)
)
# By the root: blue over a bright yellow retina is grey until it covers half of it.
_OPACITIES: Final[NDArray[np.float32]] = (0.75 * np.sqrt(_LEVELS)).astype(np.float32)


def draw_heat(
    picture: Picture, heat: NDArray[np.float32], opacities: NDArray[np.float32] = _OPACITIES
) -> Picture:
    """Lay evidence over a picture, with a line around where it exceeds half.

    Args:
        picture: (H, W, 3) uint8 RGB; it is not written to.
        heat: (H, W) float32, 0..1; what exceeds that is cut off.
        opacities: (256,) float32, 0..1: how much of the picture each of 256 levels of heat covers.

    Returns:
        (H, W, 3) uint8 RGB; equal to the picture where `heat` is 0, but for the line.

    Raises:
        UsageError: their sizes differ.
    """
    if picture.shape[:2] != heat.shape:
        raise UsageError(f"heat of {heat.shape} pixels on a picture of {picture.shape[:2]}")
    drawn = _blended(picture, heat, opacities)
    _draw_contour(drawn, heat, BOX)
    return drawn


def heat_layer(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Evidence alone, to be laid over a picture elsewhere, a browser's for example.

    Args:
        heat: (H, W) float32, 0..1; what exceeds that is cut off.

    Returns:
        (H, W, 4) uint8 RGBA, not premultiplied: over a picture what `draw_heat` makes of it, to a
        grey level.
    """
    table = np.column_stack([_COLOURS, np.round(_OPACITIES * 255.0)]).astype(np.uint8)
    layer: NDArray[np.uint8] = table[_levels(heat)]
    _draw_contour(layer, heat, (*BOX, 255))
    return layer


def draw_heat_map(
    image: NDArray[np.uint8],
    prediction: Prediction,
    label: str,
    *,
    meaning: str = "",
    longest: int | None = None,
) -> Picture:
    """Draw the evidence for one label over the whole picture, with its scale below.

    Args:
        image: (H, W, 3) uint8 RGB, the whole picture at its original size.
        prediction: its answer.
        label: name; a finding as a rule.
        meaning: of the label, for the reader.
        longest: pixels to which a longer side of the picture is cut down, `LEAST_SIDE` or more;
            None leaves its own.

    Returns:
        (H', W', 3) uint8 RGB: the picture, enlarged where it is too small to write below, with the
        aperture's outline, and a strip, wider than a narrow picture, with the label, its
        probability, the scale and what the map must not be used for.

    Raises:
        UsageError: the picture has another size than the one that was answered, the model has no
            such label, or the side is too short.
        IncompatibleError: the engine answered scores that are not finite.
    """
    require_answered(image, prediction)
    if longest is not None and longest < LEAST_SIDE:
        raise UsageError(f"heat map of at most {longest} pixels a side; use {LEAST_SIDE} or more")
    picture = _fitted(image, longest)
    size = height, width = picture.shape[0], picture.shape[1]
    heat = prediction.heat_map(label, size=size)
    heat /= np.float32(FULL_EVIDENCE)
    drawn = draw_heat(picture, heat)
    mask = prediction.aperture.scaled_to(height, width).mask
    draw_aperture(drawn, mask)
    room = max(width, LEAST_SIDE)
    capital = room / _LETTERS_PER_WIDTH
    return stacked(
        [
            drawn,
            text_strip(_head(prediction, label, meaning, float(heat.max())), room, capital),
            _scale(room, capital, _mean_colour(picture, mask)),
            text_strip(_foot(prediction), room, capital),
        ]
    )


def _draw_contour(
    picture: NDArray[np.uint8], heat: NDArray[np.float32], colour: tuple[int, ...]
) -> None:
    outlines, _ = cv2.findContours(
        (heat >= _CONTOUR).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    line = max(1, round(picture.shape[0] / 500))
    cv2.drawContours(picture, outlines, -1, colour, line, cv2.LINE_AA)


def _levels(heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    # over- and undershoots would wrap around as bytes
    return np.round(np.clip(heat, 0.0, 1.0) * 255.0).astype(np.uint8)


def _blended(
    picture: Picture, heat: NDArray[np.float32], opacities: NDArray[np.float32] = _OPACITIES
) -> Picture:
    drawn = np.empty_like(picture)
    # in bands: over 12 megapixels the arrays between would take 300 MB
    for start in range(0, len(picture), _BAND_ROWS):
        rows = slice(start, start + _BAND_ROWS)
        levels = _levels(heat[rows])
        opacity = opacities[levels]
        drawn[rows] = cv2.blendLinear(picture[rows], _COLOURS[levels], 1.0 - opacity, opacity)
    return drawn


def _fitted(image: NDArray[np.uint8], longest: int | None) -> Picture:
    """A copy of the picture, cut down to a longer side or large enough to write below."""
    if longest is None or max(image.shape[:2]) <= longest:
        return enlarged(image)[0]
    height, width = bounded_size((image.shape[0], image.shape[1]), longest)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _head(prediction: Prediction, label: str, meaning: str, most: float) -> list[Line]:
    probability, threshold = prediction.probabilities[label], prediction.thresholds[label]
    found = label in prediction.findings
    lines = [
        Line(f"{label}: {meaning}" if meaning else label, 1.4, FOUND if found else QUIET),
        Line(
            f"Probability {probability:.3f}, threshold {threshold:.3f}: "
            f"{'found' if found else 'not found'}"
        ),
    ]
    if most <= 0.0:
        lines.append(Line("No position speaks for the label: nothing is drawn"))
    return lines


def _foot(prediction: Prediction) -> list[Line]:
    return [
        Line(
            "A map shows what moved the model, not the outline of a lesion. "
            f"{prediction.model}, {prediction.variant}, bundle {prediction.bundle_sha256[:12]}, "
            f"image {prediction.input_sha256[:12]}",
            0.8,
            QUIET,
        ),
        Line(prediction.notice, 0.9, FOUND),
    ]


def _scale(width: int, capital: float, tissue: tuple[int, int, int]) -> Picture:
    """The bar of the scale as it looks over this picture's retina, and what it means."""
    height = max(2, round(1.6 * capital))
    bar: Picture = np.full((height, round(width * _BAR_SHARE), 3), tissue, np.uint8)
    ramp = np.linspace(0.0, 1.0, bar.shape[1], dtype=np.float32)
    bar = _blended(bar, np.repeat(ramp[np.newaxis], height, axis=0))
    bar[:, round(bar.shape[1] * _CONTOUR)] = BOX
    left = text_strip([Line("0", 0.9)], round(3.2 * capital), capital)
    words = (
        f"{FULL_EVIDENCE:g} and more: evidence on the logit scale, the same for all pictures and "
        f"labels; line: {FULL_EVIDENCE * _CONTOUR:g}"
    )
    right = text_strip([Line(words, 0.9)], width - left.shape[1] - bar.shape[1], capital)
    strip = padded(left, max(right.shape[0], height), width)
    # in line with the first line of the text
    top = round(1.45 * capital) - height // 2
    strip[top : top + height, left.shape[1] :][:, : bar.shape[1]] = bar
    strip[: right.shape[0], left.shape[1] + bar.shape[1] :] = right
    return strip


def _mean_colour(picture: Picture, mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Of the retina, from about a thousand of its pixels."""
    step = max(1, min(mask.shape) // 32)
    inside = picture[::step, ::step][mask[::step, ::step]]
    if not len(inside):
        return BACKGROUND
    red, green, blue = np.round(inside.mean(axis=0)).astype(int).tolist()
    return red, green, blue
