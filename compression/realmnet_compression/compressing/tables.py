"""The tables of a compression: prepared, counted, told apart, and known by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from realmnet_benchmarks.records import Records, read_psmm
from realmnet_benchmarks.splits import Split
from realmnet_compression.compressing.recipe import CompressionRecipe
from realmnet_compression.quantisation.calibration import require_development
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.checkpoint import CheckpointFacts
from realmnet_training.measuring.scoring import measured_on
from realmnet_training.pictures.prepared import PreparedSplit, prepare_split

_WORKERS: Final = 2

Role = Literal["development", "evidence"]


class TableFacts(msgspec.Struct, frozen=True):
    """What is known of a table: counts and digests, no identifier.

    Attributes:
        role: `development` fits the variants, `evidence` shows what they answer.
        name: of the table.
        images, patients: of the rows that could be read.
        refused: rows that could not.
        positives: pictures of each label.
        sources: pictures of each source.
        table_sha256: of the labels and whose they are, whatever their order.
        pictures_sha256: of the prepared pictures.
    """

    role: Role
    name: str
    images: int
    patients: int
    refused: int
    positives: dict[str, int]
    sources: dict[str, int]
    table_sha256: str
    pictures_sha256: str


@dataclass(frozen=True, repr=False)
class Table:
    """One table with its prepared pictures.

    Attributes:
        role: what it is for.
        prepared: its pictures.
    """

    role: Role
    prepared: PreparedSplit

    @property
    def split(self) -> Split:
        """Rows that could be read."""
        return self.prepared.split

    @cached_property
    def picture_digests(self) -> tuple[bytes, ...]:
        """SHA-256 of each prepared picture, in the table's order."""
        pictures = self.prepared.pictures
        return tuple(
            hashlib.sha256(pictures[row].tobytes()).digest() for row in range(len(self.split))
        )

    @cached_property
    def facts(self) -> TableFacts:
        """Counts and digests."""
        split = self.split
        return TableFacts(
            role=self.role,
            name=split.name,
            images=len(split),
            patients=len(set(split.patients)),
            refused=len(self.prepared.refused),
            positives=dict(
                zip(split.label_set.names, split.labels.sum(axis=0).tolist(), strict=True)
            ),
            sources={name: split.sources.count(name) for name in sorted(set(split.sources))},
            table_sha256=split.digest,
            pictures_sha256=hashlib.sha256(b"".join(self.picture_digests)).hexdigest(),
        )


@dataclass(frozen=True, repr=False)
class Tables:
    """The development table and the evidence, by name.

    Attributes:
        records: the data set.
        development: fits the variants.
        evidence: shows what they answer.
    """

    records: Records
    development: Table
    evidence: Mapping[str, Table]

    def __post_init__(self) -> None:
        object.__setattr__(self, "evidence", MappingProxyType(dict(self.evidence)))
        for table in self.evidence.values():
            _refuse_shared_pictures(self.development, table)

    @property
    def every(self) -> tuple[Table, ...]:
        """Development first."""
        return (self.development, *self.evidence.values())

    @property
    def facts(self) -> tuple[TableFacts, ...]:
        """Of every table."""
        return tuple(table.facts for table in self.every)

    @property
    def measured_on(self) -> str:
        """What the evidence shows: one phantom makes all of it synthetic phantoms."""
        return measured_on(_sources(self.evidence.values()))


def open_tables(
    recipe: CompressionRecipe, facts: CheckpointFacts, data: Path, cache: Path
) -> Tables:
    """Read and prepare the tables of a recipe.

    Args:
        recipe: names them.
        facts: of the checkpoint, whose labels and pre-processing they take.
        data: data set in the released PSMM layout.
        cache: folder of prepared pictures.

    Raises:
        MissingPath, ConfigurationError: no such table, another label set, a patient in two
            partitions, or a picture that is in the development table and in the evidence.
        UsageError: a development table that is no development data.
        OutputError: the cache cannot be written.
    """
    records = read_psmm(data, facts.label_set)
    chosen = {name: records[name] for name in (recipe.development, *recipe.evidence)}
    require_development(chosen[recipe.development])

    def table(name: str, role: Role) -> Table:
        return Table(role, prepare_split(chosen[name], facts.spec, cache, _WORKERS))

    return Tables(
        records=records,
        development=table(recipe.development, "development"),
        evidence={name: table(name, "evidence") for name in recipe.evidence},
    )


def _refuse_shared_pictures(development: Table, evidence: Table) -> None:
    rows = {digest: row for row, digest in enumerate(development.picture_digests)}
    shared = [
        (rows[digest], row) for row, digest in enumerate(evidence.picture_digests) if digest in rows
    ]
    if shared:
        first, second = shared[0]
        raise ConfigurationError(
            f"{len(shared)} pictures of split '{evidence.split.name}' are also in split "
            f"'{development.split.name}', the first in line {evidence.split.lines[second]}, which "
            f"is line {development.split.lines[first]} there: a picture that calibrates a variant "
            "cannot be its evidence; remove it from one of the tables"
        )


def _sources(tables: Iterable[Table]) -> set[str]:
    return {source for table in tables for source in table.split.sources}
