"""Checkpoints of the segmentation network: safetensors, with its facts as JSON in the header."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.boundary.annotations import BORDERS, Annotations
from realmnet_training.boundary.network import BoundaryNetwork
from realmnet_training.boundary.preset import BoundaryPreset
from realmnet_training.weights_file import WeightsFormat

BOUNDARY_CHECKPOINT_VERSION: Final = 1
_FORMAT: Final = WeightsFormat("realmnet_boundary", "realmnet boundary train")


class PartFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the annotations: counts and digest, no identifier."""

    digest: str
    images: int
    patients: int
    borders: dict[str, int]


class BoundaryFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a checkpoint says about its weights.

    Attributes:
        preset: the resolved preset; the network is built from it.
        table: digest of the whole table; with the preset's seed it decides the parts.
        parts: `train`, `development` and `test`.
        synthetic: trained on phantoms only.
        epoch: after which the weights were kept, from 1.
        finished: whether training ended, by early stopping or at the preset's last epoch.
        development: metrics of the development part at the network's own size.
        software: name to version of what trained it.
        version: of this format.
    """

    preset: BoundaryPreset
    table: str
    parts: dict[str, PartFacts]
    synthetic: bool
    epoch: int
    finished: bool
    development: dict[str, Any]
    software: dict[str, str]
    version: int = BOUNDARY_CHECKPOINT_VERSION

    def __post_init__(self) -> None:
        if self.version != BOUNDARY_CHECKPOINT_VERSION:
            raise ConfigurationError(
                f"boundary checkpoint version {self.version}; this toolkit reads "
                f"{BOUNDARY_CHECKPOINT_VERSION}"
            )


def part_facts(part: Annotations) -> PartFacts:
    """Counts and digest of a part."""
    counts = Counter(part.borders)
    return PartFacts(
        digest=part.digest,
        images=len(part),
        patients=len(set(part.patients)),
        borders={border: counts[border] for border in BORDERS},
    )


def save_boundary_checkpoint(path: Path, network: BoundaryNetwork, facts: BoundaryFacts) -> None:
    """Write weights and facts as one .safetensors file, whole or not at all.

    Raises:
        OutputError: the file cannot be written; an older one is untouched.
    """
    _FORMAT.save(path, network, facts)


def read_boundary_facts(path: Path) -> BoundaryFacts:
    """Read what a checkpoint says about itself, without its weights.

    Raises:
        MissingPath: no such file.
        IntegrityError: not a whole safetensors file of ours.
        ConfigurationError: facts of another version.
    """
    return _FORMAT.read_facts(path, BoundaryFacts)


def load_boundary_checkpoint(path: Path) -> tuple[BoundaryNetwork, BoundaryFacts]:
    """Build the network of a checkpoint and load its weights, in evaluation mode on the CPU.

    Raises:
        MissingPath, IntegrityError, ConfigurationError: as `read_boundary_facts`, or weights that
            do not fit the preset.
    """
    facts = read_boundary_facts(path)
    network = BoundaryNetwork(facts.preset.network.architecture, facts.preset.network.image)
    _FORMAT.fill(path, network)
    return network, facts
