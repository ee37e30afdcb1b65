"""What a training is told: a preset, in one TOML file, and the parts it is made of."""

from realmnet_training.config.augmentation import AugmentConfig, BatchMixConfig
from realmnet_training.config.data import DataConfig
from realmnet_training.config.fitting import FitConfig, Stage
from realmnet_training.config.losses import (
    AsymmetricConfig,
    BceConfig,
    FocalConfig,
    LossConfig,
    TwoWayConfig,
)
from realmnet_training.config.model import ModelConfig
from realmnet_training.config.presets import PRESETS, Preset, load_preset

__all__ = [
    "PRESETS",
    "AsymmetricConfig",
    "AugmentConfig",
    "BatchMixConfig",
    "BceConfig",
    "DataConfig",
    "FitConfig",
    "FocalConfig",
    "LossConfig",
    "ModelConfig",
    "Preset",
    "Stage",
    "TwoWayConfig",
    "load_preset",
]
