"""The score tables of a folder, sorted by study; phantoms and real pictures are never mixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from realmnet_benchmarks.reproduction.measured import Draws, Measured
from realmnet_benchmarks.score_facts import MODELS_STUDY, ScoreFacts
from realmnet_benchmarks.score_tables import SUFFIX, read_scores
from realmnet_runtime.errors import ConfigurationError, MissingPath

MAIN_TEST: Final = "test"


@dataclass(frozen=True)
class Results:
    """Everything that was found, in the order of study, protocol, model and variant."""

    tables: tuple[Measured, ...]

    def __post_init__(self) -> None:
        for study in self.studies:
            kinds = sorted({table.facts.measured_on for table in self.of(study)})
            if len(kinds) > 1:
                raise ConfigurationError(
                    f"study '{study}' mixes results measured on {' and on '.join(kinds)}; no table "
                    "may hold both, so keep them in folders of their own"
                )
            sets = {table.test.labels for table in self.of(study)}
            if len(sets) > 1:
                raise ConfigurationError(
                    f"study '{study}' has results of {len(sets)} different lists of labels; give "
                    "each list a study of its own"
                )
        cells = Counter(map(_cell, self.tables))
        for (study, variant, model, protocol, run, test, seed), times in cells.items():
            if times > 1:
                raise ConfigurationError(
                    f"{times} score tables are the same cell (study {study}, variant {variant}, "
                    f"model {model}, protocol {protocol or 'none'}, run {run}, table {test}, seed "
                    f"{seed}); keep one of them"
                )

    @property
    def studies(self) -> tuple[str, ...]:
        """Names of the studies there are results of."""
        return tuple(dict.fromkeys(table.facts.study for table in self.tables))

    def of(self, study: str, protocol: str | None = None) -> tuple[Measured, ...]:
        """Results of a study, under one protocol or under any."""
        return tuple(
            table
            for table in self.tables
            if table.facts.study == study and protocol in {None, table.facts.protocol}
        )

    @property
    def main(self) -> tuple[Measured, ...]:
        """The models on the test table of the cross-instance protocol."""
        return tuple(t for t in self.of(MODELS_STUDY, "cip") if t.test.name == MAIN_TEST)

    def reference(self, model: str) -> Measured | None:
        """The model that others are compared with, or None where it was not run."""
        return next((table for table in self.main if table.facts.model == model), None)

    def measured_on(self, tables: Iterable[Measured] = ()) -> str:
        """What the pictures of these tables are; of none, those of the whole folder."""
        kinds = {table.facts.measured_on for table in tables}
        return "; ".join(sorted(kinds or {table.facts.measured_on for table in self.tables}))


def read_results(
    folder: Path, draws: Draws, progress: Callable[[int, int], None] = lambda *_: None
) -> Results:
    """Read every score table under a folder.

    Raises:
        MissingPath: no such folder, or none in it.
        ConfigurationError: two tables of one cell, or phantoms and real pictures in one study.
        RealmnetError: as `read_scores`; a damaged table is not left out in silence.
    """
    if not folder.is_dir():
        raise MissingPath(f"no folder '{folder}'; give the folder that score tables were saved in")
    paths = sorted(folder.rglob(f"*{SUFFIX}"))
    if not paths:
        raise MissingPath(f"'{folder}' holds no score table; they end in {SUFFIX}")
    tables = []
    for done, path in enumerate(paths, start=1):
        tables.append(Measured(read_scores(path), draws))
        progress(done, len(paths))
    return Results(tuple(sorted(tables, key=_order)))


def title_of(table: Measured) -> str:
    """A model's title, and that its pictures were enlarged where they were."""
    return f"{table.facts.model} (upsampled)" if table.facts.upsampled else table.facts.model


def names_of(tables: Sequence[Measured]) -> tuple[str, ...]:
    """A name for each: its title, with whatever else is needed to tell them apart."""
    columns = [
        (title_of(t), t.facts.variant, t.facts.run, t.test.name, f"seed {t.facts.training.seed}")
        for t in tables
    ]
    needed = [0]
    for column in range(1, 5):
        if len({tuple(row[i] for i in needed) for row in columns}) == len(tables):
            break
        if len({row[column] for row in columns}) > 1:
            needed.append(column)
    return tuple(", ".join(row[i] for i in needed) for row in columns)


def names_by_test(tables: Sequence[Measured]) -> tuple[str, ...]:
    """Names that tell apart the models that answered one test table under one protocol."""
    return _names_within(tables, lambda table: (table.facts.protocol, table.test.name))


def names_by_variant(tables: Sequence[Measured]) -> tuple[str, ...]:
    """Names that tell apart the results of one variant of a study."""
    return _names_within(tables, lambda table: table.facts.variant)


def _names_within(
    tables: Sequence[Measured], group_of: Callable[[Measured], Hashable]
) -> tuple[str, ...]:
    groups: dict[Hashable, list[Measured]] = {}
    for table in tables:
        groups.setdefault(group_of(table), []).append(table)
    names = {
        id(table): name
        for group in groups.values()
        for table, name in zip(group, names_of(group), strict=True)
    }
    return tuple(names[id(table)] for table in tables)


def _cell(table: Measured) -> tuple[str, str, str, str, str, str, int]:
    facts: ScoreFacts = table.facts
    return (
        facts.study,
        facts.variant,
        facts.model,
        facts.protocol,
        facts.run,
        table.test.name,
        facts.training.seed,
    )


def _order(table: Measured) -> tuple[str, ...]:
    *names, seed = _cell(table)
    return (*map(str, names), f"{seed:020d}")
