"""The pictures of `realmnet predict`: an annotated one an image, a heat map a finding."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.cli.outputs import require_writable_directory, say
from realmnet_runtime.drawing.heat_overlay import draw_heat_map
from realmnet_runtime.drawing.lettering import Picture
from realmnet_runtime.drawing.overlay import draw_overlay, encode_png
from realmnet_runtime.files import write_atomically
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.pictures.images import read_image

_NOT_PORTABLE: Final = re.compile(r"[^A-Za-z0-9_+-]+")


@dataclass(frozen=True)
class Drawings:
    """Which pictures are drawn and where to.

    Files are named by the digest of the image, as names of medical pictures often hold record
    numbers.

    Attributes:
        overlay: directory for an annotated picture of each image; None for none.
        heatmap: directory for a heat map of each finding; None for none.
        heatmap_side: pixels to which their longer side is cut down; None leaves the image's.
    """

    overlay: Path | None
    heatmap: Path | None
    heatmap_side: int | None

    def require_writable(self) -> None:
        """Make the directories and try them before any work.

        Raises:
            OutputError: nothing can be written in one.
        """
        for directory in (self.overlay, self.heatmap):
            if directory is not None:
                require_writable_directory(directory)

    def write(self, path: Path, prediction: Prediction, labels: LabelSet) -> None:
        """Draw what was asked for of one image.

        Args:
            path: of the image.
            prediction: its answer.
            labels: the model's.

        Raises:
            OutputError: a picture could not be written.
            ImageRefused, MissingPath, UsageError: the file changed or went after the answer.
        """
        found = prediction.findings if self.heatmap is not None else ()
        if self.heatmap is not None and not found:
            say(f"{path}: no findings, no heat map")
        if self.overlay is None and not found:
            return
        picture = read_image(path, frame=prediction.frame)
        if self.overlay is not None:
            drawn = draw_overlay(picture, prediction)
            write_atomically(self.overlay / f"{prediction.input_sha256}.png", encode_png(drawn))
        if self.heatmap is not None:
            words = file_words(labels.names)
            for name, drawn in heat_maps(picture, prediction, labels, self.heatmap_side):
                target = self.heatmap / f"{prediction.input_sha256}-{words[name]}.png"
                write_atomically(target, encode_png(drawn))


def heat_maps(
    picture: Picture, prediction: Prediction, labels: LabelSet, longest: int | None
) -> Iterator[tuple[str, Picture]]:
    """Name and heat map of each finding; arguments and errors as of `draw_heat_map`."""
    for name in prediction.findings:
        meaning = labels.labels[labels.index(name)].meaning
        yield name, draw_heat_map(picture, prediction, name, meaning=meaning, longest=longest)


def file_words(names: Sequence[str]) -> dict[str, str]:
    """What stands for each label in a file's name, on any system.

    The name itself, with `_` for what is no letter, digit, `+`, `-` or `_`; numbered from 1 where
    two would otherwise share a file, which on some systems `MA` and `ma` do.
    """
    words = [_NOT_PORTABLE.sub("_", name) for name in names]
    if len({word.lower() for word in words}) < len(words):
        words = [f"{number}-{word}" for number, word in enumerate(words, start=1)]
    return dict(zip(names, words, strict=True))
