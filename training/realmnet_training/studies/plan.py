"""From the definition of a study to the presets of its cells."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.suggestions import nearest
from realmnet_training.config import Preset, load_preset
from realmnet_training.data.protocols import PROTOCOLS, ProtocolRun, with_sources
from realmnet_training.studies.definition import Cell, Level, Study
from realmnet_training.studies.scale import Scale, read_scale

_IMAGE: Final = "image"


@dataclass(frozen=True)
class StudyRequest:
    """What is asked of a study.

    Attributes:
        only: names of cells or patterns such as `realmnet-*`; empty for all.
        changes: `key=value` for every cell; what a cell itself changes is kept.
        scale: how large.
        sources: PSMM's source to the one of the data set in its place; empty where the data set
            has PSMM's.
    """

    only: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    scale: Scale = field(default_factory=lambda: read_scale("paper"))
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedCell:
    """A training to run.

    Attributes:
        study: name of the study.
        name: of the cell.
        preset: what is trained.
        changes: to the preset of that name, in order.
        factors: coordinates in the study; `image` is the side that is trained at.
        published: place of the published figure beside it.
        scale: name of the scale.
    """

    study: str
    name: str
    preset: Preset
    changes: tuple[str, ...]
    factors: dict[str, Level]
    published: str | None
    scale: str

    @property
    def protocol_run(self) -> str | None:
        """Name of the protocol's run, or None without a protocol."""
        run = self.preset.data.protocol_run()
        return None if run is None else run.name


@dataclass(frozen=True)
class LeftOut:
    """A cell that is not run, and why."""

    name: str
    reason: str


def plan_study(study: Study, request: StudyRequest) -> tuple[PlannedCell | LeftOut, ...]:
    """Resolve the cells of a study.

    A cell's preset is its base with the protocol, the study's changes, the scale's, the request's
    and the cell's own, in that order; then its pictures are brought to the scale's size.

    Raises:
        UsageError: a cell that the study has not.
        ConfigurationError: changes that make an impossible preset.
    """
    cells = study.expanded()
    wanted = _chosen([cell.name for cell in cells], request.only, study.name)
    planned: list[PlannedCell | LeftOut] = []
    for cell in cells:
        if cell.name in wanted:
            planned.append(_unless_repeated(_planned(study, cell, request), planned))
    return tuple(planned)


def _chosen(names: list[str], only: tuple[str, ...], study: str) -> set[str]:
    chosen = set() if only else set(names)
    for pattern in only:
        found = fnmatch.filter(names, pattern)
        if not found:
            raise UsageError(
                f"study '{study}' has no cell '{pattern}'; it has {', '.join(names)}"
                f"{nearest(pattern, names)}"
            )
        chosen.update(found)
    return chosen


def _planned(study: Study, cell: Cell, request: StudyRequest) -> PlannedCell | LeftOut:
    scale, name = request.scale, cell.preset or study.base
    try:
        placed = list(_protocol_changes(cell, request.sources))
    except ConfigurationError as error:
        if not request.sources:
            raise
        return LeftOut(cell.name, str(error))
    changes = [*placed, *study.changes, *scale.changes, *request.changes, *cell.changes]
    network = load_preset(name, placed).model.network
    if scale.networks and network not in scale.networks:
        return LeftOut(
            cell.name,
            f"'{network}' has one image size and is too large for scale {scale.name}; run it "
            "with --scale paper",
        )
    changes += scale.image_changes(load_preset(name, changes))
    preset = load_preset(name, changes)
    factors = cell.factors
    if _IMAGE in factors:
        factors = factors | {_IMAGE: preset.preprocess.size}
    return PlannedCell(
        study=study.name,
        name=cell.name,
        preset=preset,
        changes=tuple(changes),
        factors=factors,
        published=cell.published,
        scale=scale.name,
    )


def _unless_repeated(
    cell: PlannedCell | LeftOut, before: list[PlannedCell | LeftOut]
) -> PlannedCell | LeftOut:
    """At a small scale, two cells may come to the same training, which is run once."""
    for other in before:
        if (
            isinstance(cell, PlannedCell)
            and isinstance(other, PlannedCell)
            and other.preset == cell.preset
        ):
            return LeftOut(
                cell.name,
                f"comes to the same training as '{other.name}' with this --scale and --set",
            )
    return cell


def _protocol_changes(cell: Cell, sources: Mapping[str, str]) -> Iterator[str]:
    """Changes that put a cell under its protocol, with the sources of this data set."""
    if not cell.protocol:
        return
    yield f"data.protocol={cell.protocol}"
    run = _run_of(cell)
    if sources and run.train.sources is not None:
        known = {
            *run.train.sources,
            *(name for test in run.tests.values() for name in test.sources or ()),
        }
        ours = {theirs: name for theirs, name in sources.items() if theirs in known}
        protocol = msgspec.structs.replace(PROTOCOLS[cell.protocol], runs=(run,))
        run = with_sources(protocol, ours).runs[0]
        pairs = ", ".join(f"'{theirs}' = '{name}'" for theirs, name in ours.items())
        yield f"data.sources={{{pairs}}}"
    yield f"data.run='{run.name}'"


def _run_of(cell: Cell) -> ProtocolRun:
    runs = {run.name: run for run in PROTOCOLS[cell.protocol or ""].runs}
    if cell.run is None and len(runs) == 1:
        return next(iter(runs.values()))
    if cell.run not in runs:
        raise ConfigurationError(
            f"cell '{cell.name}' has the run '{cell.run}'; protocol '{cell.protocol}' has "
            f"{', '.join(runs)}{nearest(cell.run or '', runs)}"
        )
    return runs[cell.run]
