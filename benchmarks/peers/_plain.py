"""The usual way from a file to a tensor and from logits to labels: NumPy and OpenCV alone."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

GREY_LEVEL = 10
"""What is darker counts as black surround."""


def tensor_of(file: str, side: int) -> np.ndarray:
    """(1, 3, side, side) float32 RGB, 0..1: every pixel decoded, cut at a grey level, resized."""
    picture = cv2.imread(file)
    if picture is None:
        raise SystemExit("a picture cannot be read")
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    lit = cv2.threshold(grey, GREY_LEVEL, 255, cv2.THRESH_BINARY)[1]
    left, top, width, height = cv2.boundingRect(lit)
    crop = picture[top : top + height, left : left + width]
    square = cv2.cvtColor(cv2.resize(crop, (side, side)), cv2.COLOR_BGR2RGB)
    planes = square.astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    return np.ascontiguousarray(planes[np.newaxis])


class Point:
    """Where a probability becomes a finding: 0.5 without temperature unless a file says otherwise.

    The file is JSON: {"labels": [...], "temperatures": [...], "thresholds": [...]}.
    """

    def __init__(self, path: str | None) -> None:
        self._said = json.loads(Path(path).read_text(encoding="utf-8")) if path else None

    def findings(self, logits: np.ndarray) -> list[str]:
        """Labels of (L,) logits."""
        said = self._said
        count = len(logits)
        labels = said["labels"] if said else [str(number) for number in range(count)]
        temperatures = np.array(said["temperatures"] if said else [1.0] * count)
        thresholds = np.array(said["thresholds"] if said else [0.5] * count)
        with np.errstate(over="ignore"):
            probabilities = 1.0 / (1.0 + np.exp(-logits.astype(np.float64) / temperatures))
        return [label for label, on in zip(labels, probabilities >= thresholds, strict=True) if on]
