"""How large a study is run: as the paper, or on what a desk has."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from realmnet_benchmarks.score_facts import Text
from realmnet_training.config import Preset
from realmnet_training.studies.files import read_packaged

SCALES: Final = ("paper", "small", "smoke")


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of the paper's presets.

    Attributes:
        name: of the scale.
        description: said in every output of a study that is run at it.
        changes: `set` in the file, as of `realmnet train --set`; a cell's own changes go before.
        images: the paper's image size to this one's, both as text in pixels; others stay.
        networks: that are run; others are left out. Empty runs all.
    """

    name: str
    description: Text
    changes: tuple[Text, ...] = msgspec.field(default=(), name="set")
    images: dict[Annotated[str, msgspec.Meta(pattern=r"^\d+$")], int] = {}
    networks: tuple[str, ...] = ()

    def image_changes(self, preset: Preset) -> list[str]:
        """Changes that bring a preset's pictures to this scale's sizes."""
        stages = [
            (f"fit.stages.{number}.image", stage.image)
            for number, stage in enumerate(preset.fit.stages)
        ]
        sizes = [("preprocess.size", preset.preprocess.size), *stages]
        return [
            f"{key}={self.images[str(size)]}" for key, size in sizes if str(size) in self.images
        ]


def read_scale(name: str) -> Scale:
    """Read one of `SCALES`.

    Raises:
        MissingPath: no such scale.
        ConfigurationError: a file with an unknown key or an impossible value.
    """
    return read_packaged("scale", "scales", name, SCALES, Scale)
