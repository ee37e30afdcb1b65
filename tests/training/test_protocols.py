"""Protocols on a small data set of five sources, and their refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from realmnet_benchmarks.records import Records
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import PERIPHERAL, PSMM
from realmnet_training.config import DataConfig
from realmnet_training.data.pooling import pool
from realmnet_training.data.protocols import (
    PROTOCOLS,
    Choice,
    ProtocolRun,
    RunTables,
    tables_of,
    with_sources,
)
from realmnet_training.data.selection import select_tables
from realmnet_training.measuring.scoring import protocol_title

SOURCES = ("ShenzhenEye", "SUSTech", "LishuiR", "Zhongshan", "LishuiZ")
PHANTOMS = ("PhantomA", "PhantomB", "PhantomC", "PhantomD", "PhantomE")
RENAMED = dict(zip(SOURCES, PHANTOMS, strict=True))
IMAGES = {"train": 3, "val": 2, "test": 1}


def split(name: str, sources: tuple[str, ...] = SOURCES) -> Split:
    """Every source has one patient in each part, with as many images as `IMAGES` says."""
    owners = [source for source in sources for _ in range(IMAGES[name])]
    patients = tuple(f"{source}-{name}" for source in owners)
    return Split(
        name=name,
        images=Path(),
        label_set=PSMM,
        files=tuple(f"{patient}_{row}.jpg" for row, patient in enumerate(patients)),
        labels=np.tile(np.array([1, 0, 0, 1, 0, 0, 0], np.uint8), (len(owners), 1)),
        patients=patients,
        sources=tuple(owners),
        eyes=(None,) * len(owners),
    )


def records(sources: tuple[str, ...] = SOURCES) -> Records:
    return Records(Path(), {name: split(name, sources) for name in IMAGES})


def test_cip_is_the_partition_itself() -> None:
    (run,) = PROTOCOLS["cip"].runs
    data = records()
    tables = tables_of(run, data)
    assert tables.train.digest == data["train"].digest
    assert tables.development is not None
    assert tables.development.digest == data["val"].digest
    assert {name: test.digest for name, test in tables.tests.items()} == {
        "test": data["test"].digest
    }
    assert run.fixed_threshold is None


def test_tables_by_name_are_said_to_be_the_protocols_only_where_they_are() -> None:
    data = records()
    by_name, by_protocol = (
        select_tables(config, data, seed=0) for config in (DataConfig(), DataConfig(protocol="cip"))
    )
    assert by_name.train.digest == by_protocol.train.digest
    assert by_name.tests["test"].digest == by_protocol.tests["test"].digest
    assert protocol_title(DataConfig()) == protocol_title(DataConfig(protocol="cip"))
    assert protocol_title(DataConfig(protocol="mrp")) == ("mrp", "from-ShenzhenEye")
    assert protocol_title(DataConfig(train="train_mlrus-20")) == ("", "none")


def test_mrp_trains_on_one_source_and_tests_on_each_other() -> None:
    (run,) = PROTOCOLS["mrp"].runs
    tables = tables_of(run, records())
    assert set(tables.train.sources) == {"ShenzhenEye"}
    assert len(tables.train) == 6
    assert tables.train.partition == "train"
    assert tables.development is None
    assert run.fixed_threshold == 0.5
    assert {name: set(test.sources) for name, test in tables.tests.items()} == {
        source: {source} for source in SOURCES[1:]
    }
    assert {test.partition for test in tables.tests.values()} == {"test"}


def test_cgp_leaves_each_source_out_once() -> None:
    left_out = []
    for run in PROTOCOLS["cgp"].runs:
        tables = tables_of(run, records())
        ((name, test),) = tables.tests.items()
        assert set(test.sources) == {name}
        assert set(tables.train.sources) == set(SOURCES) - {name}
        assert (len(tables.train), len(test)) == (24, 6)
        assert tables.development is None
        assert run.fixed_threshold == 0.5
        assert run.name == f"without-{name}"
        left_out.append(name)
    assert tuple(left_out) == SOURCES[1:]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_other_sources_take_the_places_of_the_published_ones(protocol: str) -> None:
    names = {} if protocol == "cip" else RENAMED
    renamed = with_sources(PROTOCOLS[protocol], names)
    sources = SOURCES if protocol == "cip" else PHANTOMS
    for run, original in zip(renamed.runs, PROTOCOLS[protocol].runs, strict=True):
        ours = tables_of(run, records(sources))
        theirs = tables_of(original, records())
        assert [RENAMED.get(name, name) for name in theirs.tests] == [
            name if protocol != "cip" else RENAMED.get(name, name) for name in ours.tests
        ]
        assert len(ours.train) == len(theirs.train)


def test_a_source_without_a_place_is_left_out() -> None:
    three = dict(list(RENAMED.items())[:3])
    (run,) = with_sources(PROTOCOLS["mrp"], three).runs
    assert (run.name, list(run.tests)) == ("from-PhantomA", ["PhantomB", "PhantomC"])
    runs = with_sources(PROTOCOLS["cgp"], three).runs
    assert [run.name for run in runs] == ["without-PhantomB", "without-PhantomC"]
    assert runs[0].train.sources == ("PhantomA", "PhantomC")


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"Lishui": "A"}, "names no source 'Lishui'.*did you mean 'LishuiZ'"),
        ({"SUSTech": "A", "LishuiR": "A"}, "given two places"),
        ({"ShenzhenEye": "A"}, "no run of protocol 'mrp' keeps a source"),
    ],
)
def test_impossible_places_are_refused(names: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        with_sources(PROTOCOLS["mrp"], names)


def test_what_a_data_set_has_not_is_named() -> None:
    (run,) = PROTOCOLS["mrp"].runs
    with pytest.raises(ConfigurationError, match=r"no image of source 'SUSTech' in train and val"):
        tables_of(run, records(("ShenzhenEye", "LishuiR")))
    with pytest.raises(ConfigurationError, match="no split 'val'"):
        tables_of(run, Records(Path(), {"train": split("train")}))
    with pytest.raises(ConfigurationError, match=r"no part 'tset'.*did you mean 'test'"):
        Choice(parts=("tset",))
    with pytest.raises(ConfigurationError, match="at least one source"):
        Choice(sources=())
    with pytest.raises(ConfigurationError, match="has no test set"):
        ProtocolRun("x", train=Choice(), tests={})


def test_a_patient_of_the_test_set_is_not_trained_on() -> None:
    train = split("train")
    with pytest.raises(ConfigurationError, match="1 patients are in both 'train' and 'test'"):
        RunTables(train, None, {"test": replace(train.select([0]), name="test")})


def test_pooled_rows_keep_their_order_and_every_column() -> None:
    tables = [split(name) for name in IMAGES]
    pooled = pool("all", tables)
    assert pooled.files == sum((table.files for table in tables), ())
    assert pooled.sources == sum((table.sources for table in tables), ())
    assert pooled.labels.tolist() == [row for table in tables for row in table.labels.tolist()]
    assert pooled.select(range(len(tables[0]))).digest == tables[0].digest


def test_only_tables_of_one_data_set_are_pooled() -> None:
    train, val = split("train"), split("val")
    narrower = {"labels": val.labels[:, :5], "known": val.known[:, :5]}
    other = replace(val, label_set=PERIPHERAL, **narrower)
    for second, says in (
        (other, "differ in label set or folder"),
        (replace(val, images=Path("elsewhere")), "differ in label set or folder"),
        (train, "15 images are in two of the splits train, train"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            pool("all", [train, second])
    with pytest.raises(ConfigurationError, match="at least one"):
        pool("all", [])
