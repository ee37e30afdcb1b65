"""Writing under pictures: wrapped lines in OpenCV's stroke font on a dark strip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.drawing.overlay import BACKGROUND, TEXT, Colour

Picture = NDArray[np.uint8]

_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL_PX: Final = 22.0  # height of a capital of this font at scale 1
_LEADING: Final = 2.0


class Line(NamedTuple):
    """A paragraph, its size relative to the others and its colour."""

    text: str
    size: float = 1.0
    colour: Colour = TEXT


def text_strip(lines: Sequence[Line], width: int, capital: float) -> Picture:
    """Write paragraphs one below the other.

    Args:
        lines: paragraphs; each is wrapped at words.
        width: of the strip, pixels.
        capital: height of a capital letter at size 1, pixels.

    Returns:
        (h, width, 3) uint8 RGB, as high as the text needs.
    """
    margin = capital
    wrapped = [
        Line(part, line.size, line.colour)
        for line in lines
        for part in _wrapped(line.text, width - 2 * margin, capital * line.size)
    ]
    height = margin + sum(_LEADING * capital * line.size for line in wrapped)
    strip: Picture = np.full((round(height), width, 3), BACKGROUND, np.uint8)
    y = margin
    for line in wrapped:
        scale, stroke = _font(capital * line.size)
        origin = (round(margin), round(y + capital * line.size))
        cv2.putText(
            strip, _ascii(line.text), origin, _FONT, scale, line.colour, stroke, cv2.LINE_AA
        )
        y += _LEADING * capital * line.size
    return strip


def stacked(pictures: Sequence[Picture]) -> Picture:
    """Pictures below one another, filled up to the widest with the strips' background."""
    width = max(picture.shape[1] for picture in pictures)
    return np.concatenate([padded(picture, picture.shape[0], width) for picture in pictures])


def padded(picture: Picture, height: int, width: int) -> Picture:
    """A picture in the upper left of a larger one of the strips' background."""
    whole: Picture = np.full((height, width, 3), BACKGROUND, np.uint8)
    whole[: picture.shape[0], : picture.shape[1]] = picture
    return whole


def _wrapped(text: str, width: float, capital: float) -> list[str]:
    scale, stroke = _font(capital)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and cv2.getTextSize(_ascii(longer), _FONT, scale, stroke)[0][0] <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _font(capital: float) -> tuple[float, int]:
    return capital / _CAPITAL_PX, max(1, round(capital / 9))


def _ascii(text: str) -> str:
    """OpenCV's stroke fonts have no other letters."""
    return text.encode("ascii", "replace").decode()
