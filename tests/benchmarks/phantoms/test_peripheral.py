"""Phantoms with the five labels of the periphery, some of them left unknown."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import typer.testing

from realmnet_benchmarks.commands import data
from realmnet_benchmarks.phantom_splits import SplitPlan, draw_splits
from realmnet_benchmarks.phantoms import (
    FREQUENT_PERIPHERAL_SHARES,
    PERIPHERAL_SIGNS,
    draw_population,
    write_dataset,
)
from realmnet_benchmarks.phantoms.answers import label_rows
from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import PERIPHERAL, PSMM

CASES = draw_population(150, seed=3, peripheral_shares=FREQUENT_PERIPHERAL_SHARES)


def test_the_labels_are_the_signs_that_are_drawn_and_may_co_occur() -> None:
    labels = np.array([case.peripheral_row for case in CASES])
    for case, row in zip(CASES, labels, strict=True):
        named = {name for name, value in zip(PERIPHERAL.names, row, strict=True) if value}
        assert named == (set(case.peripheral) or {"NoPL"})
    assert (labels[:, 1:].sum(axis=1) > 1).any()
    # 300 eyes: five standard deviations of a share of 0.3
    assert np.abs(labels[::2, 1:].mean(axis=0) - 0.3).max() < 5 * np.sqrt(0.21 / 300)


def test_shares_change_the_signs_and_nothing_else() -> None:
    rare = draw_population(150, seed=3, peripheral_shares={})
    for one, other in zip(CASES, rare, strict=True):
        assert other.peripheral == ()
        assert (one.stem, one.labels, one.severity, one.confusers) == (
            other.stem,
            other.labels,
            other.severity,
            other.confusers,
        )
    plan = {"train": 5, "dev": 0, "test": 0, "natural": 0}
    plain = draw_splits(SplitPlan(**plan))["train"]
    frequent = draw_splits(SplitPlan(**plan, labels="peripheral"))["train"]
    assert [case.seed for case in plain] == [case.seed for case in frequent]
    assert sum(len(c.peripheral) for c in frequent) > sum(len(c.peripheral) for c in plain)


def test_cells_are_unknown_in_the_share_that_is_asked_for_and_else_unchanged() -> None:
    header, *rows = label_rows(CASES, PERIPHERAL, 0.2)
    assert header == [*PERIPHERAL.codes, "filename", "ID"]
    whole = label_rows(CASES, PERIPHERAL)[1:]
    unknown = [
        cell == ""
        for row, full in zip(rows, whole, strict=True)
        for cell, known in zip(row, full, strict=True)
        if cell in {"", known}
    ]
    assert len(unknown) == 7 * len(CASES)
    # five standard deviations of 3,000 cells; the two last columns are never empty
    assert abs(sum(unknown) / (5 * len(CASES)) - 0.2) < 5 * np.sqrt(0.16 / (5 * len(CASES)))
    with pytest.raises(ConfigurationError, match="exclude each other"):
        label_rows(CASES, PSMM, 0.1)


def test_the_command_writes_a_data_set_that_reads_back(tmp_path: Path) -> None:
    options = "--labels peripheral --unknown-share 0.3 --train-patients 2 --dev-patients 1"
    fewer = "--test-patients 0 --natural-patients 0 --images-per-patient 2 --size 96 --workers 1"
    run = typer.testing.CliRunner().invoke(
        data, ["phantoms", str(tmp_path), *options.split(), *fewer.split(), "--json"]
    )
    assert run.exit_code == 0, run.output
    records = read_psmm(tmp_path, PERIPHERAL, "mask")
    train = records["train"]
    assert not train.known.all()
    told = msgspec.json.decode(run.stdout)["splits"]["train"]
    assert tuple(told["positives"]) == ("NoPL", *PERIPHERAL_SIGNS)
    assert list(told["positives"].values()) == train.labels.sum(axis=0).tolist()
    assert told["sha256"] == train.digest
    cases = draw_splits(
        SplitPlan(train=2, dev=1, test=0, natural=0, images_per_patient=2, labels="peripheral")
    )
    with pytest.raises(ConfigurationError, match=r"unknown_share 0\.3"):
        write_dataset(tmp_path, cases, height=96, width=120, label_set=PERIPHERAL)
