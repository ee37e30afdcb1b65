"""`realmnet data check`: it finds every fault of a spoilt data set and names nobody."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.cli import main
from realmnet_runtime.labels import PSMM

Row = list[str]
COLUMNS = len(PSMM)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("sound")
    sizes = ("--train-patients", "3", "--dev-patients", "2", "--test-patients", "2")
    words = ("--natural-patients", "0", "--images-per-patient", "2", "--size", "96")
    assert main(["data", "phantoms", str(out), *sizes, *words, "--workers", "1"]) == 0
    return out


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound / "datasets", tmp_path / "datasets")
    return tmp_path


def table(root: Path, name: str) -> Path:
    return root / "datasets/PSMM/ImageSets/Main" / name


def picture(root: Path, row: Row) -> Path:
    return root / "datasets/PSMM/JPEGImages" / row[COLUMNS]


def rows_of(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def edit(path: Path, change: Callable[[list[Row]], None]) -> None:
    rows = rows_of(path)
    change(rows)
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def check(root: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, Any]:
    capsys.readouterr()
    code = main(["data", "check", str(root), "--json", "--workers", "1", *options])
    return code, json.loads(capsys.readouterr().out)


def identifiers(root: Path) -> set[str]:
    """Patients, file names, and the parts of them that identify."""
    found: set[str] = set()
    for path in (root / "datasets/PSMM/ImageSets/Main").rglob("*.csv"):
        for row in rows_of(path)[1:]:
            if len(row) > COLUMNS:
                stem = row[COLUMNS].rsplit(".", 1)[0]
                found |= {stem, row[COLUMNS + 1], *(p for p in stem.split("_") if len(p) > 3)}
    return found


def test_a_sound_data_set_is_counted_and_passes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = check(root, capsys)
    assert code == 0
    for name, split in read_psmm(root).splits.items():
        counts = report["tables"][name]["counts"]
        assert counts["images"] == len(split)
        assert counts["patients"] == len(set(split.patients))
        assert list(counts["positives"].values()) == split.labels.sum(axis=0).tolist()
        assert counts["exams"] == len(set(split.exams))
        by_source = report["tables"][name]["sources"]
        assert {source: one["images"] for source, one in by_source.items()} == {
            source: split.sources.count(source) for source in set(split.sources)
        }
    assert report["shorter_side_px"] == [96, 96, 96]
    for empty in ("faults", "missing", "unreadable", "equal", "alike", "shared_patients"):
        assert report[empty] == []
    assert (report["repeats"], report["unnamed"]) == (0, 0)


def spoil(root: Path) -> None:
    """Nine faults at once, each in a row of its own."""
    train, val, test = (
        rows_of(table(root, name)) for name in ("MYOPIA/MYOPIA.csv", "val.csv", "test.csv")
    )

    def in_train(rows: list[Row]) -> None:
        rows.append(list(rows[1]))
        rows.append(["nan", *rows[1][1:COLUMNS], "PhantomA-1_9.jpg", "PhantomA-1"])
        rows.append(["1", "0"])

    edit(table(root, "MYOPIA/MYOPIA.csv"), in_train)

    def in_test(rows: list[Row]) -> None:
        rows[1][0:2] = ["1", "1"]
        rows.append([*rows[2][:COLUMNS], "PhantomC-8_4.jpg", train[1][COLUMNS + 1]])

    edit(table(root, "test.csv"), in_test)
    table(root, "extra.csv").write_text(
        "S0,S1,A0,A1,A2,A3,A5,filename,ID\n1,0,1,0,0,0,0,PhantomC-7_3.jpg,PhantomC-7\n"
    )
    (picture(root, train[2])).write_bytes(picture(root, train[2]).read_bytes()[:900])
    picture(root, train[3]).unlink()
    shutil.copy(picture(root, val[1]), picture(root, test[3]))
    pixels = cv2.imread(str(picture(root, val[2])))
    assert pixels is not None
    cv2.imwrite(str(picture(root, test[4])), pixels, [cv2.IMWRITE_JPEG_QUALITY, 60])
    cv2.imwrite(str(root / "datasets/PSMM/JPEGImages/PhantomC-8_4.jpg"), pixels[::-1])
    (root / "datasets/PSMM/JPEGImages/nobody.jpg").write_bytes(b"")


def test_every_fault_is_reported_in_one_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(root)
    code, report = check(root, capsys)
    assert code == 2
    faults = "\n".join(report["faults"])
    for says in (
        "line 8: repeats the file name of line 2",
        "line 9: label S0 is NaN",
        "line 10: 2 cells under 9 columns",
        "column A4 is missing",
        "unknown column 'A5'",
    ):
        assert says in faults
    place = {"table": "train", "line": 3}
    assert [one["place"] for one in report["unreadable"]] == [place]
    assert report["missing"] == [{"table": "train", "line": 4}]
    assert report["shared_patients"] == [
        [{"table": "train", "line": 2}, {"table": "test", "line": 6}]
    ]
    assert [one["places"] for one in report["equal"]] == [
        [{"table": "val", "line": 2}, {"table": "test", "line": 4}]
    ]
    assert [one["places"] for one in report["alike"]] == [
        [{"table": "val", "line": 3}, {"table": "test", "line": 5}]
    ]
    assert report["alike"][0]["patients"] == report["alike"][0]["partitions"] == 2
    assert report["other_names"] == [{"table": "test", "line": 6}]
    assert report["contradictions"] == [{"table": "test", "line": 2}]
    assert report["unnamed"] == 1


def test_two_tables_of_one_name_are_one_fault_among_others(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(root)
    table(root, "val").mkdir()
    shutil.copy(table(root, "val.csv"), table(root, "val/val.csv"))
    code, report = check(root, capsys)
    assert code == 2
    assert "both the split 'val'" in report["faults"][0]
    assert len(report["faults"]) > 1


def test_no_identifier_is_printed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil(root)
    for options in ([], ["--json"]):
        assert main(["data", "check", str(root), "--workers", "1", *options]) == 2
    printed = capsys.readouterr()
    for secret in identifiers(root):
        assert secret not in printed.out + printed.err
    assert "ERROR patients in two partitions: 1" in printed.out
    assert "train line 3: " in printed.out


def test_an_unreadable_image_alone_is_code_7(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = rows_of(table(root, "val.csv"))[1]
    picture(root, row).write_text("no picture")
    code, report = check(root, capsys)
    assert code == 7
    assert [one["place"] for one in report["unreadable"]] == [{"table": "val", "line": 2}]


def test_an_image_set_without_images_is_an_error(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(root / "datasets/PSMM/JPEGImages")
    code, report = check(root, capsys)
    assert code == 2
    assert "holds no image" in report["faults"][0]
    assert len(report["missing"]) == report["images"]


def test_a_copy_within_a_patient_is_only_counted(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = rows_of(table(root, "val.csv"))[1:]
    mine = [row for row in rows if row[COLUMNS + 1] == rows[0][COLUMNS + 1]]
    shutil.copy(picture(root, mine[0]), picture(root, mine[1]))
    code, report = check(root, capsys)
    assert (code, report["equal"], report["repeats"]) == (0, [], 1)


def test_a_resampled_table_repeats_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    resampled = table(root, "MYOPIA_MLRUS-20/MYOPIA_MLRUS-20.csv")
    resampled.parent.mkdir()
    shutil.copy(table(root, "MYOPIA/MYOPIA.csv"), resampled)
    code, report = check(root, capsys)
    assert code == 0
    assert list(report["tables"])[:2] == ["train", "train_mlrus-20"]
    assert (report["equal"], report["repeats"], report["shared_patients"]) == ([], 0, [])


def test_label_sets_that_never_occur_are_the_complement(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, report = check(root, capsys)
    labels = np.concatenate([split.labels for split in read_psmm(root).splits.values()])
    seen = {tuple(np.array(PSMM.names)[row.astype(bool)]) for row in np.unique(labels, axis=0)}
    absent = {tuple(names) for names in report["absent_label_sets"]}
    assert not seen & absent
    assert len(seen | absent) == 2 * 5


def test_a_name_that_gives_another_patient_is_told(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(rows: list[Row]) -> None:
        rows[1][COLUMNS + 1] = "PhantomA-9999999"

    edit(table(root, "val.csv"), change)
    code, report = check(root, capsys)
    assert code == 0
    assert report["other_names"] == [{"table": "val", "line": 2}]


MAP = """
file = "filename"
patient = "ID"
source = "CityHospital"
unknown_labels = "leave out"
[labels]
S0 = { column = "S0" }
S1 = { column = "S1" }
A0 = { column = "A0" }
A1 = { column = "A1" }
A2 = { column = "A2" }
A3 = { column = "A3" }
A4 = { column = "A4" }
"""


def test_a_hospital_table_is_checked_by_its_map(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "map.toml").write_text(MAP)

    def change(rows: list[Row]) -> None:
        rows[2][0] = ""

    edit(table(root, "val.csv"), change)
    code, report = check(
        table(root, "val.csv"),
        capsys,
        *("--columns", str(tmp_path / "map.toml")),
        *("--images", str(root / "datasets/PSMM/JPEGImages")),
    )
    assert code == 0
    assert report["tables"]["val"]["left_out"] == 1
    assert list(report["tables"]["val"]["sources"]) == ["CityHospital"]
    (tmp_path / "map.toml").write_text(MAP.replace("A4 = {", "A5 = {"))
    capsys.readouterr()
    assert main(["data", "check", str(root), "--columns", str(tmp_path / "map.toml")]) == 2
    assert "no label 'A5'" in capsys.readouterr().err


def test_an_unknown_label_set_is_a_usage_error(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "check", str(root), "--labels", "psm"]) == 2
    assert "did you mean 'psmm'" in capsys.readouterr().err
