"""Checkpoints of the segmentation network: safetensors, with its facts as JSON in the header."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec
import safetensors
import safetensors.torch
from safetensors import SafetensorError

from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath
from realmnet_runtime.files import write_atomically
from realmnet_runtime.structs import decode_json
from realmnet_training.boundary.annotations import BORDERS, Annotations
from realmnet_training.boundary.network import BoundaryNetwork
from realmnet_training.boundary.preset import BoundaryPreset

BOUNDARY_CHECKPOINT_VERSION: Final = 1
_KEY: Final = "realmnet_boundary"


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
    state = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    header = {_KEY: msgspec.json.encode(facts).decode()}
    write_atomically(path, safetensors.torch.save(state, metadata=header))


def read_boundary_facts(path: Path) -> BoundaryFacts:
    """Read what a checkpoint says about itself, without its weights.

    Raises:
        MissingPath: no such file.
        IntegrityError: not a whole safetensors file of ours.
        ConfigurationError: facts of another version.
    """
    if not path.is_file():
        raise MissingPath(f"checkpoint '{path}' does not exist; give one of `boundary train`")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except SafetensorError as error:
        raise IntegrityError(f"'{path}' is not a whole safetensors file: {error}") from error
    if _KEY not in header:
        raise IntegrityError(
            f"'{path}' has no '{_KEY}' entry in its header; it was not written by "
            "`realmnet boundary train`"
        )
    return decode_json(header[_KEY].encode(), BoundaryFacts, str(path))


def load_boundary_checkpoint(path: Path) -> tuple[BoundaryNetwork, BoundaryFacts]:
    """Build the network of a checkpoint and load its weights, in evaluation mode on the CPU.

    Raises:
        MissingPath, IntegrityError, ConfigurationError: as `read_boundary_facts`, or weights that
            do not fit the preset.
    """
    facts = read_boundary_facts(path)
    network = BoundaryNetwork(facts.preset.network.architecture, facts.preset.network.image)
    try:
        network.load_state_dict(safetensors.torch.load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise IntegrityError(f"the weights in '{path}' do not fit its own facts") from error
    return network.eval(), facts
