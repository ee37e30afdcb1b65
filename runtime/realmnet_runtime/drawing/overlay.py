"""An annotated picture: what was looked at, what was found, and what it must not be used for."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.errors import UsageError

Colour = tuple[int, int, int]

BACKGROUND: Final[Colour] = (18, 22, 28)
TEXT: Final[Colour] = (226, 230, 236)
QUIET: Final[Colour] = (142, 150, 162)
FOUND: Final[Colour] = (255, 179, 71)
_TRACK: Final[Colour] = (48, 55, 66)
BOX: Final[Colour] = (255, 255, 255)
_OUTLINE: Final[Colour] = (64, 200, 255)
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL_PX: Final = 22.0  # height of a capital of this font at scale 1
_LEAST_HEIGHT_PX: Final = 640
_PANEL_UNITS: Final = (50, 22)  # height and width of the panel in units
_MARGIN: Final = 1.5
_WIDTH: Final = _PANEL_UNITS[1] - 2 * _MARGIN


def draw_overlay(image: NDArray[np.uint8], prediction: Prediction) -> NDArray[np.uint8]:
    """Draw the crop box, the aperture's outline and a panel with the answer.

    Args:
        image: (H, W, 3) uint8 RGB, the whole picture at its original size.
        prediction: its answer.

    Returns:
        (H', W', 3) uint8 RGB: the picture, enlarged where it is too small to write beside, and a
        panel to its right.

    Raises:
        UsageError: the picture has another size than the one that was answered.
    """
    require_answered(image, prediction)
    picture, factor = enlarged(image)
    draw_aperture(picture, prediction.field_of_view.mask, factor)
    x0, y0, x1, y1 = (side * factor for side in prediction.box)
    cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), BOX, _line(picture), cv2.LINE_AA)
    panel = _Panel(picture.shape[0]).filled_with(prediction)
    return np.concatenate([picture, panel], axis=1)


def require_answered(image: NDArray[np.uint8], prediction: Prediction) -> None:
    """Refuse a picture that the answer cannot be about.

    Raises:
        UsageError: it has another size than the one that was answered.
    """
    if image.shape[:2] != prediction.original_size:
        raise UsageError(
            f"picture of {image.shape[:2]} rows and columns; the answer is for one of "
            f"{prediction.original_size}; draw on the picture that was answered"
        )


def enlarged(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """A copy of a picture, large enough to write beside, and how many times larger it is."""
    factor = max(1, -(-_LEAST_HEIGHT_PX // image.shape[0]))
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8), factor


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """PNG of a (H, W, 3) uint8 RGB picture; lossless.

    Raises:
        UsageError: OpenCV cannot encode an array of this shape.
    """
    done, encoded = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise UsageError(f"an array of shape {image.shape} cannot be written as PNG")
    return encoded.tobytes()


def draw_aperture(picture: NDArray[np.uint8], mask: NDArray[np.bool_], factor: int = 1) -> None:
    """Draw the aperture's outline into a picture of `factor` times the mask's size."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    scaled = [outline * factor for outline in outlines]
    cv2.drawContours(picture, scaled, -1, _OUTLINE, _line(picture), cv2.LINE_AA)


def _line(picture: NDArray[np.uint8]) -> int:
    height: int = picture.shape[0]
    return max(2, round(height / 450))


class _Panel:
    """The answer in writing; lengths are in units, of which the height has fifty."""

    def __init__(self, height: int) -> None:
        self._unit = height / _PANEL_UNITS[0]
        width = round(_PANEL_UNITS[1] * self._unit)
        self._pixels: NDArray[np.uint8] = np.full((height, width, 3), BACKGROUND, np.uint8)

    def filled_with(self, prediction: Prediction) -> NDArray[np.uint8]:
        self._text("RealMNet", y=3.0, capital=1.25)
        self._text(prediction.model, y=5.2, capital=0.62, colour=QUIET)
        # Seven rows fill what they are given; longer label sets get narrower rows.
        pitch = min(2.9, 20.3 / max(1, len(prediction.probabilities)))
        y = 7.8
        for name in prediction.probabilities:
            self._probability(prediction, name, y=y, size=pitch / 2.9)
            y += pitch
        y = self._paragraphs(_reading(prediction), y=y + 0.4, capital=0.72, colour=TEXT)
        quiet = [*prediction.inconsistencies, _origin(prediction)]
        self._paragraphs(quiet, y=y + 0.4, capital=0.55, colour=QUIET)
        lines = self._wrapped(prediction.notice, capital=0.62)
        top = _PANEL_UNITS[0] - 1.4 - 1.24 * (len(lines) - 1)
        self._paragraphs(lines, y=top, capital=0.62, colour=FOUND)
        return self._pixels

    def _probability(self, prediction: Prediction, name: str, *, y: float, size: float) -> None:
        probability = prediction.probabilities[name]
        found = name in prediction.findings
        colour = FOUND if found else TEXT
        value = f"{probability:.3f}"
        self._text(name, y=y, capital=0.78 * size, colour=colour)
        right = _MARGIN + _WIDTH - self._width(value, 0.78 * size)
        self._text(value, x=right, y=y, capital=0.78 * size, colour=colour)
        top, bottom = y + 0.55 * size, y + 1.05 * size
        self._bar((_MARGIN, _MARGIN + _WIDTH), (top, bottom), _TRACK)
        reach = _MARGIN + _WIDTH * probability
        self._bar((_MARGIN, reach), (top, bottom), FOUND if found else QUIET)
        mark = _MARGIN + _WIDTH * prediction.thresholds[name]
        self._bar((mark - 0.06, mark + 0.06), (top - 0.2 * size, bottom + 0.2 * size), TEXT)

    def _paragraphs(
        self, paragraphs: list[str], *, y: float, capital: float, colour: Colour
    ) -> float:
        """Write paragraphs one below the other; returns where the next would begin."""
        for paragraph in paragraphs:
            for line in self._wrapped(paragraph, capital):
                self._text(line, y=y, capital=capital, colour=colour)
                y += 2.0 * capital
        return y

    def _wrapped(self, text: str, capital: float) -> list[str]:
        lines: list[str] = []
        for word in text.split():
            if lines and self._width(f"{lines[-1]} {word}", capital) <= _WIDTH:
                lines[-1] = f"{lines[-1]} {word}"
            else:
                lines.append(word)
        return lines

    def _text(
        self,
        text: str,
        *,
        y: float,
        capital: float,
        x: float = _MARGIN,
        colour: Colour = TEXT,
    ) -> None:
        origin = (round(x * self._unit), round(y * self._unit))
        scale, stroke = self._font(capital)
        cv2.putText(self._pixels, _ascii(text), origin, _FONT, scale, colour, stroke, cv2.LINE_AA)

    def _width(self, text: str, capital: float) -> float:
        scale, stroke = self._font(capital)
        size, _ = cv2.getTextSize(_ascii(text), _FONT, scale, stroke)
        return float(size[0]) / self._unit

    def _font(self, capital: float) -> tuple[float, int]:
        pixels = capital * self._unit
        return pixels / _CAPITAL_PX, max(1, round(pixels / 9))

    def _bar(self, x: tuple[float, float], y: tuple[float, float], colour: Colour) -> None:
        columns, rows = (
            slice(round(low * self._unit), max(round(high * self._unit), round(low * self._unit)))
            for low, high in (x, y)
        )
        self._pixels[rows, columns] = colour


def _reading(prediction: Prediction) -> list[str]:
    if prediction.withheld:
        return [f"Ungradable: {prediction.quality.summary}", "No answer is given."]
    grade = "undecided" if prediction.grade is None else str(prediction.grade)
    return [
        f"Findings: {', '.join(prediction.findings) or 'none'}",
        f"META-PM grade: {grade}",
        f"Posterior staphyloma: {_yes_no(prediction.staphyloma)}",
        f"Pathologic myopia: {_yes_no(prediction.pathologic_myopia)}",
    ]


def _origin(prediction: Prediction) -> str:
    return (
        f"{prediction.variant} on {prediction.engine} {prediction.engine_version}, bundle "
        f"{prediction.bundle_sha256[:12]}, image {prediction.input_sha256[:12]}"
    )


def _yes_no(value: bool | None) -> str:
    return "undecided" if value is None else ("yes" if value else "no")


def _ascii(text: str) -> str:
    """OpenCV's stroke fonts have no other letters."""
    return text.encode("ascii", "replace").decode()
