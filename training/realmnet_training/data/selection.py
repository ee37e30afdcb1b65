"""From a data set to the tables of one training: by name or protocol, by share, resampled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from realmnet_benchmarks.records import Records
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.suggestions import nearest
from realmnet_training.checkpoint import CheckpointFacts
from realmnet_training.config import DataConfig
from realmnet_training.data.protocols import tables_of
from realmnet_training.data.resampled import resample

TEST = "test"


@dataclass(frozen=True)
class Selection:
    """The tables of one training.

    Attributes:
        train: as it is trained on.
        development: None where the protocol has none: nothing is tuned then.
        tests: what the protocol tests, by its names; `test` where tables are named and it is there.
    """

    train: Split
    development: Split | None
    tests: Mapping[str, Split]


def select_tables(config: DataConfig, records: Records, seed: int) -> Selection:
    """Choose the tables of a training.

    Args:
        config: of the preset.
        records: the data set.
        seed: of the choice of a share.

    Raises:
        ConfigurationError: a table, part or source that the data set has not.
    """
    run = config.protocol_run()
    if run is None:
        tests = {TEST: records[TEST]} if TEST in records else {}
        found = Selection(records[config.train], records[config.development], tests)
    else:
        tables = tables_of(run, records)
        found = Selection(tables.train, tables.development, tables.tests)
    train = take_share(found.train, config.share, seed)
    if config.resampling is not None:
        train = resample(train, config.resampling)
    return Selection(train, found.development, found.tests)


def choose_test(facts: CheckpointFacts, records: Records, name: str) -> Split:
    """A table to measure a checkpoint on.

    Args:
        facts: of the checkpoint.
        records: the data set.
        name: of a test of the checkpoint's protocol, or of a table of the data set.

    Raises:
        ConfigurationError: neither, or a table with images of a source that the checkpoint's
            protocol trained on whole.
    """
    data = None if facts.preset is None else facts.preset.data
    run = None if data is None else data.protocol_run()
    if data is None or run is None or run.train.sources is None:
        return records[name]
    if name in run.tests:
        return tables_of(run, records).tests[name]
    table = records[name]
    if shared := sorted(set(run.train.sources) & set(table.sources)):
        raise ConfigurationError(
            f"table '{name}' holds images of {', '.join(shared)}, on all of which this checkpoint "
            f"was trained by protocol '{data.protocol}'; its tests are {', '.join(run.tests)}"
            f"{nearest(name, run.tests)}"
        )
    return table


def take_share(split: Split, share: float, seed: int) -> Split:
    """A share of a table's images in their order, at least one (paper, label efficiency)."""
    if share == 1.0:
        return split
    order = np.random.default_rng(seed).permutation(len(split))
    return split.select(np.sort(order[: max(1, round(share * len(split)))]))


def tables_that_hold(records: Records, wanted: list[Split]) -> list[Split]:
    """Tables of a data set that together hold all images of some splits, each whole.

    Pictures are prepared by whole table, so that every choice from them shares one cache.
    """
    missing = {file for split in wanted for file in split.files}
    holding = []
    for name in records:
        found = missing.intersection(records[name].files)
        if found:
            holding.append(records[name])
            missing -= found
    return holding
