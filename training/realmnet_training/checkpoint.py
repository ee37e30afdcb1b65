"""Checkpoints: weights as safetensors, everything else about the model as JSON in its header."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.config import Preset
from realmnet_training.model import RealMNet
from realmnet_training.networks.architectures import (
    AnyArchitecture,
    Architecture,
    Network,
    architecture_of,
    require_realmnet,
)
from realmnet_training.released.importer import import_released
from realmnet_training.weights_file import WeightsFormat

__all__ = [
    "CHECKPOINT_VERSION",
    "Architecture",
    "CheckpointFacts",
    "SplitFacts",
    "architecture_of",
    "import_released",
    "load_checkpoint",
    "load_network",
    "read_facts",
    "save_checkpoint",
]

CHECKPOINT_VERSION: Final = 1
_FORMAT: Final = WeightsFormat("realmnet", "realmnet train")


class SplitFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table that was used: counts and digest, no identifier."""

    name: str
    digest: str
    images: int
    patients: int
    positives: tuple[int, ...]
    sources: dict[str, int]


class CheckpointFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a checkpoint says about its weights.

    Attributes:
        architecture: of the network.
        label_set: meaning of the outputs, in order.
        spec: the pre-processing the weights were trained with.
        preset: the resolved preset; None for weights that came from elsewhere.
        splits: tables that were used, by their part (`train`, `development`).
        epochs: passes over the training table so far, over all stages.
        finished: whether the preset was trained to its end.
        supervision: what it learnt from beside the labels, as a teacher; empty for labels alone.
        operating_point: temperatures and thresholds for these float weights; None while training.
        development_metrics: of the development table, fractions.
        software: name to version of what trained it.
        version: of this format.
    """

    architecture: AnyArchitecture
    label_set: LabelSet
    spec: PreprocessSpec
    preset: Preset | None = None
    splits: dict[str, SplitFacts] = {}
    epochs: int = 0
    finished: bool = False
    operating_point: OperatingPoint | None = None
    development_metrics: dict[str, Any] = {}
    software: dict[str, str] = {}
    supervision: dict[str, Any] = {}
    version: int = CHECKPOINT_VERSION

    def __post_init__(self) -> None:
        if self.version != CHECKPOINT_VERSION:
            raise ConfigurationError(
                f"checkpoint version {self.version}; this toolkit reads {CHECKPOINT_VERSION}"
            )
        if self.architecture.labels != len(self.label_set):
            raise ConfigurationError(
                f"the network has {self.architecture.labels} outputs and label set "
                f"'{self.label_set.name}' {len(self.label_set)} labels; they must agree"
            )
        point = self.operating_point
        names = set(self.label_set.names)
        if point is not None and not names == set(point.temperatures) == set(point.thresholds):
            raise ConfigurationError(
                f"the operating point must name the labels {', '.join(self.label_set.names)}, each "
                "with a temperature and a threshold"
            )


def save_checkpoint(path: Path, model: Network, facts: CheckpointFacts) -> None:
    """Write weights and facts as one .safetensors file, whole or not at all.

    Raises:
        ConfigurationError: the facts are those of another network.
        OutputError: the file cannot be written; an older one is untouched.
    """
    if facts.architecture != architecture_of(model):
        raise ConfigurationError(
            f"facts of {facts.architecture} for a model of {architecture_of(model)}"
        )
    _FORMAT.save(path, model, facts)


def read_facts(path: Path) -> CheckpointFacts:
    """Read what a checkpoint says about itself, without its weights.

    Raises:
        MissingPath: no such file.
        IntegrityError: not a whole safetensors file of ours.
        ConfigurationError: facts of another version.
    """
    return _FORMAT.read_facts(path, CheckpointFacts)


def load_network(path: Path) -> tuple[Network, CheckpointFacts]:
    """Build the network of a checkpoint and load its weights, in evaluation mode on the CPU.

    Raises:
        MissingPath, IntegrityError, ConfigurationError: as `read_facts`, or weights that do not
            fit the architecture.
    """
    facts = read_facts(path)
    model = facts.architecture.build()
    _FORMAT.fill(path, model)
    return model, facts


def load_checkpoint(path: Path) -> tuple[RealMNet, CheckpointFacts]:
    """As `load_network`, for what takes a RealMNet: explanation, export, release.

    Raises:
        MissingPath, IntegrityError, ConfigurationError: as `load_network`, or a baseline.
    """
    model, facts = load_network(path)
    return require_realmnet(model, "this command"), facts
