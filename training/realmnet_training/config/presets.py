"""Presets: what is trained, on what, how; TOML files read once into frozen structs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec
import tomllib

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.preprocess import PreprocessSpec
from realmnet_runtime.structs import convert_mapping
from realmnet_runtime.suggestions import nearest
from realmnet_training.baselines import BASELINES, BaselineName
from realmnet_training.config.augmentation import AugmentConfig, BatchMixConfig
from realmnet_training.config.data import DataConfig
from realmnet_training.config.fitting import FitConfig
from realmnet_training.config.model import ModelConfig


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole training run but for the data set and the output folder."""

    name: str
    description: str
    fit: FitConfig
    preprocess: PreprocessSpec
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    mix: BatchMixConfig = BatchMixConfig()

    def __post_init__(self) -> None:
        if self.model.network != "realmnet":
            self._require_baseline(self.model.network)
        last = self.fit.stages[-1].image
        if last != self.preprocess.size:
            raise ConfigurationError(
                f"the last stage trains at {last} px and preprocess.size is "
                f"{self.preprocess.size}; the device must see what training ended with"
            )

    def _require_baseline(self, name: BaselineName) -> None:
        size = BASELINES[name].image
        for stage in self.fit.stages:
            if stage.image != size:
                raise ConfigurationError(
                    f"a stage trains '{name}' at {stage.image} px; it takes {size}"
                )
        if self.fit.freeze:
            raise ConfigurationError(f"fit.freeze is RealMNet's; '{name}' is trained whole")


PRESETS: Final = ("demonstration", "peripheral", "realmnet", "smoke")


def load_preset(name: str, changes: Iterable[str] = ()) -> Preset:
    """Read a preset of the package by name, or a TOML file by path, with changes applied.

    Args:
        name: one of `PRESETS`, or a path ending in `.toml`.
        changes: `key.key=value`; the value is TOML, or a plain string where it is none. Entries
            of arrays are named by their number: `fit.stages.0.epochs=3`.

    Raises:
        MissingPath: no such preset or file.
        ConfigurationError: no TOML, an unknown key (with the nearest), an impossible value.
    """
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise MissingPath(f"preset file '{name}' does not exist")
        text, source = path.read_text(encoding="utf-8"), name
    elif name in PRESETS:
        file = resources.files("realmnet_training") / "presets" / f"{name}.toml"
        text, source = file.read_text(encoding="utf-8"), f"preset {name}"
    else:
        raise MissingPath(
            f"no preset '{name}'; there are {', '.join(PRESETS)}, or give a path ending in .toml"
            f"{nearest(name, PRESETS)}"
        )
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not TOML: {error}") from error
    for change in changes:
        _apply(content, change)
    return convert_mapping(content, Preset, source)


def _apply(content: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigurationError(f"--set '{change}' must look like fit.seed=7")
    place: Any = content
    for part in parts[:-1]:
        place = _entry(place, part, change)
    if isinstance(place, list):
        _entry(place, parts[-1], change)
        place[int(parts[-1])] = _value(value)
    elif isinstance(place, dict):
        place[parts[-1]] = _value(value)
    else:
        raise ConfigurationError(f"--set '{change}': '{parts[-2]}' holds a value, not a table")


def _entry(place: object, part: str, change: str) -> object:
    if isinstance(place, list):
        if not part.isdecimal() or int(part) >= len(place):
            raise ConfigurationError(
                f"--set '{change}': '{part}' must be a number from 0 to {len(place) - 1}"
            )
        return place[int(part)]
    if isinstance(place, dict):
        return place.setdefault(part, {})
    raise ConfigurationError(f"--set '{change}': '{part}' lies below a value, not a table")


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
