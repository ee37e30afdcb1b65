"""`realmnet data phantoms`: what it writes, what it promises, and how it goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_benchmarks.phantom_splits import SplitPlan, draw_splits
from realmnet_benchmarks.phantoms import HOSPITALS, LABEL_COUNTS, SIGNS
from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.cli import main
from realmnet_runtime.errors import UsageError

HELD_OUT = {place.name for place in HOSPITALS if place.held_out}
SMALL = [
    *("--train-patients", "3", "--dev-patients", "1", "--test-patients", "4"),
    *("--natural-patients", "1", "--images-per-patient", "2", "--size", "96", "--workers", "1"),
]


def run(out: Path, *options: str) -> int:
    return main(["data", "phantoms", str(out), *SMALL, *options])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantoms")
    assert run(out) == 0
    return out


def pictures(out: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (out / "datasets/PSMM/JPEGImages").iterdir()
    }


def test_the_data_set_is_one_that_records_read(written: Path) -> None:
    records = read_psmm(written)
    sizes = {name: len(split) for name, split in records.splits.items()}
    assert sizes == {"train": 6, "val": 2, "test": 8, "test_natural": 2}
    for split in records.splits.values():
        assert (split.labels[:, :2].sum(axis=1) == 1).all()
        assert (split.labels[:, 2:].sum(axis=1) == 1).all()
        assert None not in split.eyes
        for path in split.paths:
            picture = cv2.imread(str(path))
            assert picture is not None
            assert picture.shape == (96, 120, 3)


def test_a_broken_off_run_goes_on_where_it_stopped(written: Path) -> None:
    before = pictures(written)
    for name in sorted(before)[::3]:
        (written / "datasets/PSMM/JPEGImages" / name).unlink()
    assert run(written) == 0
    after = pictures(written)
    for number, name in enumerate(sorted(before)):
        assert after[name][0] == before[name][0]
        assert (after[name][1] == before[name][1]) == (number % 3 != 0)


def test_json_gives_the_counts_of_the_tables(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(written, "--json") == 0
    printed = capsys.readouterr()
    splits: dict[str, Any] = json.loads(printed.out)["splits"]
    records = read_psmm(written)
    assert list(splits) == list(records)
    for name, split in records.splits.items():
        assert list(splits[name]["positives"].values()) == split.labels.sum(axis=0).tolist()
        assert splits[name]["sha256"] == split.digest
    assert "pictures 18 of 18" in printed.err


def test_the_table_has_a_line_a_split(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(written) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["split", *read_psmm(written)]


def test_other_options_in_the_same_folder_are_refused(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(written, "--seed", "43") == 2
    assert "holds phantoms with cases" in capsys.readouterr().err
    assert len(pictures(written)) == 18


def test_a_file_in_the_place_of_the_folder_is_an_output_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("kept")
    assert run(tmp_path / "out") == 8
    assert (tmp_path / "out").read_text() == "kept"
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("option", [("--size", "12"), ("--mix", "even"), ("--unseen-share", "2")])
def test_an_impossible_option_is_a_usage_error(tmp_path: Path, option: tuple[str, str]) -> None:
    assert run(tmp_path / "out", *option) == 2
    assert not (tmp_path / "out").exists()


def test_the_default_plan_gives_every_label_enough_test_pictures_and_eyes() -> None:
    splits = draw_splits(SplitPlan())
    assert {name: len(cases) for name, cases in splits.items()} == {
        "train": 8_000,
        "val": 1_500,
        "test": 2_400,
        "test_natural": 1_500,
    }
    for sign in SIGNS:
        cases = [case for case in splits["test"] if sign in case.labels]
        assert len(cases) >= 100
        assert len({(case.identity, case.eye) for case in cases}) >= 50
    unseen = [case for case in splits["test"] if case.hospital.name in HELD_OUT]
    assert len(unseen) == 600
    assert {sign for case in unseen for sign in case.labels} == set(SIGNS)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 40), st.integers(1, 20), st.integers(1, 20), st.floats(0, 1), st.integers(0, 9)
)
def test_no_patient_crosses_and_the_held_out_hospital_is_tested_only(
    train: int, dev: int, test: int, share: float, seed: int
) -> None:
    plan = SplitPlan(train, dev, test, 3, unseen_share=share, images_per_patient=2, seed=seed)
    splits = draw_splits(plan)
    people = {name: {case.patient for case in cases} for name, cases in splits.items()}
    assert sum(map(len, people.values())) == train + dev + test + 3
    assert len(set().union(*people.values())) == train + dev + test + 3
    for name in ("train", "val"):
        assert not HELD_OUT & {case.hospital.name for case in splits[name]}
    unseen = {c.patient for c in splits["test"] if c.hospital.name in HELD_OUT}
    assert len(unseen) == round(test * share)
    seeds = [{case.seed for case in cases} for cases in splits.values()]
    assert sum(map(len, seeds)) == len(set().union(*seeds))


def test_the_size_of_one_split_leaves_the_others_alone() -> None:
    plan = SplitPlan(10, 5, 5, 5)
    before, after = draw_splits(plan), draw_splits(replace(plan, dev=9, natural=0))
    assert before["train"] == after["train"]
    assert before["test"] == after["test"]
    assert set(after) == {"train", "val", "test"}


def test_a_second_test_set_is_drawn_alike_from_other_patients() -> None:
    plan = SplitPlan(10, 5, 600, 5)
    before, after = draw_splits(plan), draw_splits(replace(plan, second=600))
    second = after["test_second"]

    assert {name: after[name] for name in before} == before
    assert len(second) == len(after["test"])
    assert {case.patient for case in second}.isdisjoint(
        case.patient for name in before for case in before[name]
    )
    assert sum(case.hospital.name in HELD_OUT for case in second) == 600
    for sign in SIGNS:
        cases = [case for case in second if sign in case.labels]
        assert len(cases) >= 200
        assert len({case.patient for case in cases}) >= 40


def test_the_natural_mix_follows_the_released_tables() -> None:
    cases = draw_splits(SplitPlan(0, 0, 0, 2_000))["test_natural"]
    total = sum(LABEL_COUNTS.values())
    for labels, count in LABEL_COUNTS.items():
        share = np.mean([case.labels == labels for case in cases])
        assert share == pytest.approx(count / total, abs=0.01)


@pytest.mark.parametrize(
    "fault",
    [
        {"train": -1},
        {"train": 0, "dev": 0, "test": 0, "natural": 0},
        {"unseen_share": 1.5},
        {"mix": "even"},
        {"images_per_patient": 0},
        {"seed": -1},
        {"test": 10**7},
    ],
)
def test_an_impossible_plan_cannot_exist(fault: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(SplitPlan(), **fault)
