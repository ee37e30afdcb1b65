"""`realmnet data prepare`: the same tensors, tables that work, and runs that go on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realmnet_benchmarks.intake.prepared_set import prepare_data
from realmnet_benchmarks.intake.reading import read_intake
from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.cli import main
from realmnet_runtime.errors import ImageRefused
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, preprocess
from realmnet_runtime.structs import decode_json

REAL = Path(__file__).parents[3] / "shared/images/uwf"
SIZE = 64
IMAGES = 14


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("raw")
    sizes = ("--train-patients", "3", "--dev-patients", "2", "--test-patients", "2")
    words = ("--natural-patients", "0", "--images-per-patient", "2", "--size", "96")
    assert main(["data", "phantoms", str(out), *sizes, *words, "--workers", "1"]) == 0
    main_folder = out / "datasets/PSMM/ImageSets/Main"
    (main_folder / "MYOPIA_MLRUS-20").mkdir()
    lines = (main_folder / "MYOPIA/MYOPIA.csv").read_text().splitlines()
    chosen = "\n".join([lines[0], *lines[2:5]]) + "\n"
    (main_folder / "MYOPIA_MLRUS-20/MYOPIA_MLRUS-20.csv").write_text(chosen)
    return out


@pytest.fixture
def root(raw: Path, tmp_path: Path) -> Path:
    shutil.copytree(raw / "datasets", tmp_path / "raw/datasets")
    return tmp_path / "raw"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def prepare(root: Path, out: Path, *options: str) -> int:
    words = ["data", "prepare", str(root), str(out), "--size", str(SIZE), "--workers", "2"]
    return main([*words, *options])


def report_of(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> dict[str, Any]:
    capsys.readouterr()
    assert prepare(root, out, "--json", *options) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def pictures(out: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (out / "datasets/PSMM/JPEGImages").iterdir()
    }


def spec_of(out: Path, name: str) -> PreprocessSpec:
    path = out / "datasets/PSMM" / name
    return decode_json(path.read_bytes(), PreprocessSpec, name)


@pytest.mark.parametrize("size", [64, 112])
@pytest.mark.parametrize(
    "options", [(), ("--deborder", "off"), ("--deborder", "crop+mask", "--fit", "pad")]
)
def test_raw_and_prepared_become_the_same_tensor(
    raw: Path, out: Path, size: int, options: tuple[str, ...]
) -> None:
    assert prepare(raw, out, "--size", str(size), *options) == 0
    made_by, read_by = spec_of(out, "preprocess.json"), spec_of(out, "preprocess_prepared.json")
    assert (made_by.size, read_by.size, read_by.deborder) == (size, size, "off")
    before, after = read_psmm(raw), read_psmm(out)
    assert list(before) == list(after)
    for name in before:
        assert before[name].patients == after[name].patients
        np.testing.assert_array_equal(before[name].labels, after[name].labels)
        assert before[name].eyes == after[name].eyes
        assert before[name].exams == after[name].exams
        for one, other in zip(before[name].paths, after[name].paths, strict=True):
            assert (one.stem, other.suffix) == (other.stem, ".png")
            wanted = preprocess(read_image(one, model_size=made_by.decode_size), made_by)
            given = preprocess(read_image(other, model_size=read_by.decode_size), read_by)
            assert given.tobytes() == wanted.tobytes()


@pytest.mark.skipif(not REAL.exists(), reason="no ../shared/images beside the repository")
def test_real_pictures_decoded_at_a_scale_become_the_same_tensor(tmp_path: Path, out: Path) -> None:
    (tmp_path / "map.toml").write_text(
        'file = "f"\npatient = "p"\n[labels.NoPS]\ncolumn = "s"\n[labels.PS]\ncolumn = "s"\n'
        'present = ["0"]\nabsent = ["1"]\n[[choices]]\ncolumn = "g"\n'
        'values = { 0 = "NoMRL", 1 = "TFO", 2 = "DCA", 3 = "PCA", 4 = "MA" }\n'
    )
    files = sorted(path.name for path in REAL.iterdir())
    lines = ["f,p,s,g", *(f"{file},{number},1,0" for number, file in enumerate(files))]
    (tmp_path / "city.csv").write_text("\n".join(lines) + "\n")
    options = ("--columns", str(tmp_path / "map.toml"), "--images", str(REAL))
    assert prepare(tmp_path / "city.csv", out, *options) == 0
    made_by, read_by = spec_of(out, "preprocess.json"), spec_of(out, "preprocess_prepared.json")
    for file, path in zip(files, read_psmm(out)["city"].paths, strict=True):
        wanted = preprocess(read_image(REAL / file, model_size=SIZE), made_by)
        assert preprocess(read_image(path, model_size=SIZE), read_by).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("size", [64, 100, 112, 128])
def test_enlarged_pictures_are_counted(
    raw: Path, out: Path, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    smaller = 0
    for path in (raw / "datasets/PSMM/JPEGImages").iterdir():
        x0, y0, x1, y1 = find_field_of_view(read_image(path)).box
        smaller += x1 - x0 < size or y1 - y0 < size
    for kept in (0, IMAGES):
        report = report_of(raw, out, capsys, "--size", str(size))
        assert (report["kept"], report["made"]) == (kept, IMAGES - kept)
        assert report["upsampled"] == smaller
    assert prepare(raw, out, "--size", str(size)) == 0
    assert f"{smaller} of 14 were smaller and are upsampled" in capsys.readouterr().out


def test_what_is_finished_is_kept_and_the_rest_made_again(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(root, out) == 0
    before = pictures(out)
    gone, torn, changed, unlisted = sorted(before)[:4]
    folder = out / "datasets/PSMM/JPEGImages"
    (folder / gone).unlink()
    (folder / torn).write_bytes(before[torn][0][:100])
    source = root / "datasets/PSMM/JPEGImages" / changed.replace(".png", ".jpg")
    os.utime(source, ns=(0, 0))
    ledger = out / "datasets/PSMM/prepared.jsonl"
    lines = ledger.read_text().splitlines()
    last = next(line for line in lines if unlisted in line)
    lines.remove(last)
    ledger.write_text("\n".join([*lines, last[:30]]))
    report = report_of(root, out, capsys)
    assert (report["made"], report["kept"], report["failed"]) == (4, IMAGES - 4, 0)
    after = pictures(out)
    for name, (content, time) in before.items():
        assert after[name][0] == content
        remade = name in {gone, torn, changed, unlisted}
        assert (after[name][1] != time) == remade
    assert report_of(root, out, capsys)["kept"] == IMAGES


def test_an_interrupted_run_goes_on(raw: Path, out: Path) -> None:
    intake, spec = read_intake(raw), PreprocessSpec(size=SIZE)

    def interrupt(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_data(intake, out, spec, progress=interrupt)
    report = prepare_data(intake, out, spec)
    assert (report.kept, report.made) == (5, IMAGES - 5)
    assert len(read_psmm(out)["train"]) == 6


def test_a_corrupt_image_is_listed_and_left_out_until_it_is_repaired(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(root, out) == 0
    train = read_psmm(root)["train"]
    broken, missing = train.paths[1], train.paths[4]
    whole = broken.read_bytes(), missing.read_bytes()
    broken.write_bytes(whole[0][: len(whole[0]) // 2])
    missing.unlink()
    report = report_of(root, out, capsys)
    assert (report["failed"], report["kept"]) == (2, IMAGES - 2)
    places = [(one["place"]["table"], one["place"]["line"]) for one in report["failures"]]
    assert places == [("train", 3), ("train", 6), ("train_mlrus-20", 2)]
    assert report["rows"] == {"train": 4, "train_mlrus-20": 2, "val": 4, "test": 4}
    records = read_psmm(out)
    assert {name: len(split) for name, split in records.splits.items()} == report["rows"]
    assert len(pictures(out)) == IMAGES - 2
    assert prepare(root, out) == 0
    printed = capsys.readouterr()
    assert "2 failed" in printed.out
    assert "train line 3: " in printed.out
    for secret in {*train.files, *train.patients, broken.stem, missing.stem}:
        assert secret not in printed.out + printed.err
    broken.write_bytes(whole[0])
    missing.write_bytes(whole[1])
    assert report_of(root, out, capsys)["failed"] == 0
    assert len(read_psmm(out)["train"]) == 6


def test_a_table_of_which_nothing_is_left_is_not_written(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(root, out) == 0
    for path in read_psmm(root)["val"].paths:
        path.write_bytes(b"")
    report = report_of(root, out, capsys)
    assert report["empty_tables"] == ["val"]
    assert "val" not in read_psmm(out)


def test_only_if_nothing_can_be_prepared_it_fails(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (root / "datasets/PSMM/JPEGImages").iterdir():
        path.write_bytes(b"no picture")
    assert prepare(root, out) == ImageRefused.exit_code
    assert "none of the 14 images could be prepared; train line 2: " in capsys.readouterr().err
    shutil.rmtree(root / "datasets/PSMM/JPEGImages")
    assert prepare(root, out) == ImageRefused.exit_code


def test_a_patient_in_two_splits_is_refused_before_anything_is_written(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = root / "datasets/PSMM/ImageSets/Main"
    line = (tables / "val.csv").read_text().splitlines()[1]
    with (tables / "test.csv").open("a") as file:
        file.write(line + "\n")
    assert prepare(root, out) == 2
    assert "is also in split" in capsys.readouterr().err
    with (tables / "test.csv").open("a") as file:
        file.write(line.replace("0", "nan", 1) + "\n")
    assert prepare(root, out) == 2
    assert "`realmnet data check` lists all" in capsys.readouterr().err
    assert not out.exists()


def test_another_specification_in_the_same_folder_is_refused(
    raw: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(raw, out) == 0
    assert prepare(raw, out, "--size", "72") == 2
    assert "was begun with size 64, asked for 72" in capsys.readouterr().err


def test_preparing_a_data_set_into_itself_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare(root, root) == 2
    assert "holds the images themselves" in capsys.readouterr().err


def test_names_that_would_become_one_are_refused(
    root: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = root / "datasets/PSMM/ImageSets/Main/val.csv"
    line = table.read_text().splitlines()[1].replace(".jpg", ".tif")
    table.write_text(table.read_text() + line + "\n")
    assert prepare(root, out) == 2
    assert "val line 2 and val line 6 differ in suffix or case only" in capsys.readouterr().err


def test_a_file_in_the_place_of_the_folder_is_an_output_error(
    raw: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out.write_text("kept")
    assert prepare(raw, out) == 8
    assert out.read_text() == "kept"
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


FULL_DISK = """
import resource, sys
from realmnet_runtime.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
@pytest.mark.parametrize("room", [600, 2000])
def test_a_full_disk_leaves_no_torn_file_and_the_run_goes_on(
    raw: Path, out: Path, room: int
) -> None:
    words = ["data", "prepare", str(raw), str(out), "--size", str(SIZE), "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(room), *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 8, done.stderr
    assert "free some space" in done.stderr
    assert not [path for path in out.rglob("*") if path.name.endswith(".part")]
    assert prepare(raw, out) == 0
    assert len(pictures(out)) == IMAGES
    assert len(read_psmm(out)["train"]) == 6


def test_a_hospital_table_becomes_the_released_layout_with_all_it_knew(
    raw: Path, tmp_path: Path, out: Path
) -> None:
    val = read_psmm(raw)["val"]
    labels = "\n".join(f'[labels.{name}]\ncolumn = "{name}"' for name in val.label_set.names)
    (tmp_path / "map.toml").write_text(
        'file = "f"\npatient = "p"\neye = "e"\ndate = "d"\nsource = "CityHospital"\n' + labels
    )
    lines = [",".join(["f", "p", "e", "d", *val.label_set.names])]
    for number, (path, row) in enumerate(zip(val.paths, val.labels.tolist(), strict=True)):
        shutil.copy(path, tmp_path / f"{number}.jpg")
        day = f"2020-01-0{1 + number // 2}"
        lines.append(",".join([f"{number}.jpg", "17", "RL"[number % 2], day, *map(str, row)]))
    (tmp_path / "City.csv").write_text("\n".join(lines) + "\n")
    assert prepare(tmp_path / "City.csv", out, "--columns", str(tmp_path / "map.toml")) == 0
    city = read_psmm(out)["city"]
    assert city.files == ("0.png", "1.png", "2.png", "3.png")
    assert city.eyes == ("OD", "OS", "OD", "OS")
    assert set(city.sources) == {"CityHospital"}
    assert city.exams[0] == city.exams[1] != city.exams[2] == city.exams[3]
    assert city.exams[0] is not None
    np.testing.assert_array_equal(city.labels, val.labels)
