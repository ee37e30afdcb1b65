"""How large a study is run: as the paper, or on what a desk has."""

from __future__ import annotations

from importlib import resources
from typing import Annotated, Any, Final

import msgspec
import tomllib

from realmnet_benchmarks.score_facts import Text
from realmnet_runtime.errors import MissingPath
from realmnet_runtime.structs import convert_mapping
from realmnet_runtime.suggestions import nearest
from realmnet_training.config import Preset

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
    if name not in SCALES:
        raise MissingPath(
            f"no scale '{name}'; there are {', '.join(SCALES)}{nearest(name, SCALES)}"
        )
    file = resources.files("realmnet_training.studies") / "scales" / f"{name}.toml"
    content: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    return convert_mapping(content, Scale, f"scale {name}")
