"""Presets: what is trained, on what, how; TOML files read once into frozen structs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.config.augmentation import AugmentConfig, BatchMixConfig
from realmnet_training.config.data import DataConfig
from realmnet_training.config.files import read_preset
from realmnet_training.config.fitting import FitConfig
from realmnet_training.config.model import ModelConfig
from realmnet_training.networks.backbone import window_sizes
from realmnet_training.networks.baselines import BASELINES, BaselineName


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
        else:
            for stage in self.fit.stages:
                window_sizes(stage.image, self.model.third_window)
        last = self.fit.stages[-1].image
        if last != self.preprocess.size:
            raise ConfigurationError(
                f"the last stage trains at {last} px and preprocess.size is "
                f"{self.preprocess.size}; the device must see what training ended with"
            )

    def decisive(self) -> Preset:
        """The preset without what changes nothing but the pace and the memory of a run."""
        fit = msgspec.structs.replace(self.fit, workers=0, keep_every=0)
        return msgspec.structs.replace(self, fit=fit)

    def _require_baseline(self, name: BaselineName) -> None:
        size = BASELINES[name].image
        for stage in self.fit.stages:
            if stage.image != size:
                raise ConfigurationError(
                    f"a stage trains '{name}' at {stage.image} px; it takes {size}"
                )
        if self.fit.freeze:
            raise ConfigurationError(f"fit.freeze is RealMNet's; '{name}' is trained whole")


PRESETS: Final = (
    "convnext_t",
    "deit_b",
    "demonstration",
    "efficientnet_b4",
    "peripheral",
    "phantoms_21m",
    "realmnet",
    "realmnet_max",
    "slim_21m",
    "smoke",
    "student_11m",
    "student_5m",
    "swin_b",
)


def load_preset(name: str, changes: Iterable[str] = ()) -> Preset:
    """Read a preset of the package by name, or a TOML file by path, with changes applied.

    Args:
        name: one of `PRESETS`, or a path ending in `.toml`.
        changes: `key.key=value`; the value is TOML, `none` for no value, or else a plain string.
            Entries of arrays are named by their number: `fit.stages.0.epochs=3`.

    Raises:
        MissingPath: no such preset or file.
        ConfigurationError: no TOML, an unknown key (with the nearest), an impossible value.
    """
    return read_preset(name, PRESETS, Preset, changes)
