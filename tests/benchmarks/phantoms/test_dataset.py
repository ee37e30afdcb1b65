from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from realmnet_benchmarks.phantoms import BALANCED, draw_population, render, write_dataset
from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.errors import ConfigurationError, OutputError

SIZE = {"height": 96, "width": 120}
SPLITS = {
    "train": draw_population(3, seed=1, mix=BALANCED),
    "val": draw_population(1, seed=2, mix=BALANCED, first_patient=10),
    "test": draw_population(1, seed=3, mix=BALANCED, first_patient=20, images_per_patient=3),
}


def contents(home: Path) -> dict[str, bytes]:
    return {str(p.relative_to(home)): p.read_bytes() for p in home.rglob("*") if p.is_file()}


def test_the_released_layout_is_written_and_read_back(tmp_path: Path) -> None:
    home = write_dataset(tmp_path, SPLITS, **SIZE)
    assert home == tmp_path / "datasets" / "PSMM"
    tables = {str(p.relative_to(home / "ImageSets" / "Main")) for p in home.rglob("Main/**/*.csv")}
    assert {Path(t).as_posix() for t in tables} == {"MYOPIA/MYOPIA.csv", "val.csv", "test.csv"}
    records = read_psmm(tmp_path)
    for name, cases in SPLITS.items():
        split = records[name]
        assert [tuple(row) for row in split.labels] == [case.row for case in cases]
        assert list(split.files) == [f"{case.stem}.jpg" for case in cases]
        assert list(split.patients) == [case.identity for case in cases]
        assert list(split.sources) == [case.hospital.name for case in cases]


def test_pictures_are_the_rendered_ones(tmp_path: Path) -> None:
    home = write_dataset(tmp_path, SPLITS, quality=95, **SIZE)
    for case in SPLITS["val"]:
        stored = cv2.imread(str(home / "JPEGImages" / f"{case.stem}.jpg"))[..., ::-1]
        drawn = render(case, 96, 120).image
        assert np.abs(stored[..., :2].astype(int) - drawn[..., :2]).mean() < 6


def test_the_truth_table_agrees_with_the_renderer(tmp_path: Path) -> None:
    home = write_dataset(tmp_path, SPLITS, **SIZE)
    with (home / "phantom_truth.csv").open(newline="") as lines:
        rows = {row["filename"]: row for row in csv.DictReader(lines)}
    for split, cases in SPLITS.items():
        for case in cases:
            row = rows.pop(f"{case.stem}.jpg")
            assert row["split"] == split
            assert row["border"] == case.border
            assert tuple(int(row[k]) for k in ("x0", "y0", "x1", "y1")) == render(case, 96, 120).box
            assert float(row["severity_PS"]) == case.strength("PS")
    assert not rows


def test_an_interrupted_write_goes_on(tmp_path: Path) -> None:
    whole = contents(write_dataset(tmp_path / "whole", SPLITS, **SIZE))

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "cut", SPLITS, progress=stop, **SIZE)
    pictures = tmp_path / "cut" / "datasets" / "PSMM" / "JPEGImages"
    before = {path: path.stat().st_mtime_ns for path in pictures.iterdir()}
    assert 5 <= len(before) < sum(map(len, SPLITS.values()))
    assert all(path.suffix == ".jpg" and not path.name.startswith(".") for path in before)
    seen: list[tuple[int, int]] = []
    home = write_dataset(
        tmp_path / "cut", SPLITS, progress=lambda *counts: seen.append(counts), **SIZE
    )
    assert contents(home) == whole
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert seen[-1] == (19, 19)


def test_processes_write_the_same_bytes(tmp_path: Path) -> None:
    one = contents(write_dataset(tmp_path / "one", SPLITS, workers=1, **SIZE))
    two = contents(write_dataset(tmp_path / "two", SPLITS, workers=2, **SIZE))
    assert one == two


def test_a_folder_of_other_phantoms_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, {"val": SPLITS["val"]}, **SIZE)
    with pytest.raises(ConfigurationError, match="height 96"):
        write_dataset(tmp_path, {"val": SPLITS["val"]}, height=120, width=120)
    with pytest.raises(ConfigurationError, match="cases"):
        write_dataset(tmp_path, SPLITS, **SIZE)


@pytest.mark.parametrize(
    ("splits", "options", "said"),
    [
        ({}, {}, "no phantoms"),
        ({"val": ()}, {}, "no phantoms"),
        (SPLITS, {"quality": 0}, "quality 0"),
        (SPLITS, {"workers": 0}, "0 workers"),
        ({"a/b": SPLITS["val"]}, {}, "a/b"),
        ({"val": SPLITS["val"], "test": SPLITS["val"]}, {}, "do not overlap"),
        ({"val": SPLITS["val"] * 2}, {}, "own number"),
    ],
)
def test_an_impossible_data_set_is_refused(
    tmp_path: Path, splits: dict, options: dict, said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        write_dataset(tmp_path, splits, **(SIZE | options))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "datasets").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="choose another folder"):
        write_dataset(tmp_path, SPLITS, **SIZE)
