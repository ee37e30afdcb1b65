"""Studies as data: one TOML file each, whose grids stand for all combinations of their levels."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from realmnet_benchmarks.score_facts import Name, Protocol, Text
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.suggestions import nearest
from realmnet_training.studies.files import read_packaged

STUDIES: Final = (
    "models",
    "label-efficiency",
    "freezing",
    "augmentation",
    "drop-path",
    "resolution",
    "resampling",
    "loss",
    "two-way-loss",
    "csra",
    "pre-training",
    "boundary",
    "peripheral",
    "components",
)

Level: TypeAlias = int | float | str

_PLACE: Final = re.compile(r"<([^<>]+)>")


class Cell(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One training of a study.

    Attributes:
        name: unique in its study; the run's folder and the score tables' variant.
        changes: `set` in the file: `key=value` as of `realmnet train --set`.
        factors: coordinates of the cell in its study; empty where it is told by model alone.
        preset: None takes the study's.
        protocol: None takes the study's.
        run: of the protocol, where that has several.
        published: place of the published figure beside it, such as `headline.RealMNet`.
    """

    name: Name
    changes: tuple[Text, ...] = msgspec.field(default=(), name="set")
    factors: dict[str, Level] = {}
    preset: str | None = None
    protocol: Protocol | None = None
    run: str | None = None
    published: str | None = None


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cells for every combination of levels, the last axis fastest.

    `<axis>` stands for the axis's level in `name`, `set`, `preset` and `run`.

    Attributes:
        name: of the cells, put into lower case.
        axes: name of the axis to its levels.
        changes: `set` in the file, as of a cell.
        factors: levels all its cells share, beside those of the axes.
        as_factors: whether the axes are factors; not where they name the model or the run.
        preset, protocol, run: as of a cell.
    """

    name: str
    axes: dict[str, tuple[Level, ...]]
    changes: tuple[Text, ...] = msgspec.field(default=(), name="set")
    factors: dict[str, Level] = {}
    as_factors: bool = True
    preset: str | None = None
    protocol: Protocol | None = None
    run: str | None = None

    def __post_init__(self) -> None:
        for axis, levels in self.axes.items():
            if not levels or len(set(levels)) < len(levels):
                raise ConfigurationError(
                    f"axis '{axis}' of grid '{self.name}' has {len(levels)} levels, "
                    f"{len(set(levels))} of them different; give one or more, each once"
                )

    def cells(self) -> Iterator[Cell]:
        """Every cell of the grid."""
        for levels in itertools.product(*self.axes.values()):
            at = dict(zip(self.axes, levels, strict=True))
            yield Cell(
                name=_filled(self.name, at).lower(),
                changes=tuple(_filled(change, at) for change in self.changes),
                factors=self.factors | (at if self.as_factors else {}),
                preset=None if self.preset is None else _filled(self.preset, at),
                protocol=self.protocol,
                run=None if self.run is None else _filled(self.run, at),
            )


class Study(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One study of the paper.

    Attributes:
        name: of the study, as score tables say it.
        title: for people.
        reproduces: what of the paper it stands beside.
        base: preset of its cells.
        protocol: of its cells.
        note: what must be known to read its figures.
        changes: `set` in the file: of all cells, before their own.
        cells: written out.
        grids: after those.
        published: name of a grid's cell to the place of the figure beside it.
    """

    name: Name
    title: Text
    reproduces: Text
    base: str = "realmnet"
    protocol: Protocol = "cip"
    note: str = ""
    changes: tuple[Text, ...] = msgspec.field(default=(), name="set")
    cells: tuple[Cell, ...] = ()
    grids: tuple[Grid, ...] = ()
    published: dict[str, str] = {}

    def __post_init__(self) -> None:
        names = [cell.name for cell in self.expanded()]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if not names or twice:
            raise ConfigurationError(
                f"study '{self.name}' has {len(names)} cells"
                f"{f', {twice[0]!r} twice' if twice else ''}; it needs one or more, each once"
            )
        for name in self.published:
            if name not in names:
                raise ConfigurationError(
                    f"study '{self.name}' has a published figure for '{name}', which is none of "
                    f"its cells{nearest(name, names)}"
                )

    def expanded(self) -> tuple[Cell, ...]:
        """All cells in order, each with its preset, protocol and published figure."""
        written = itertools.chain(self.cells, *(grid.cells() for grid in self.grids))
        return tuple(
            msgspec.structs.replace(
                cell,
                preset=cell.preset or self.base,
                protocol=self.protocol if cell.protocol is None else cell.protocol,
                published=cell.published or self.published.get(cell.name),
            )
            for cell in written
        )


def read_study(name: str) -> Study:
    """Read one of `STUDIES`.

    Raises:
        MissingPath: no such study.
        ConfigurationError: a definition with an unknown key or an impossible value.
    """
    return read_packaged("study", "definitions", name, STUDIES, Study)


def _filled(template: str, levels: Mapping[str, Level]) -> str:
    def level(match: re.Match[str]) -> str:
        axis = match[1]
        if axis not in levels:
            raise ConfigurationError(
                f"'{template}' names the axis '{axis}'; the grid has {', '.join(levels) or 'none'}"
                f"{nearest(axis, levels)}"
            )
        value = levels[axis]
        return f"{value:g}" if isinstance(value, float) else str(value)

    return _PLACE.sub(level, template)
