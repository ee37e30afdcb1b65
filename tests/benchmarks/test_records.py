"""Reading the released layout: what it says, what it refuses, and what it never prints."""

from __future__ import annotations

import traceback
from pathlib import Path

import numpy as np
import pytest

from realmnet_benchmarks.file_names import eye_of, source_of
from realmnet_benchmarks.records import Records, read_psmm, read_table
from realmnet_runtime.errors import ConfigurationError, MissingPath, RealmnetError

RELEASED = Path(__file__).parents[3] / "shared/reference/psmm"
HEADER = "S0,S1,A0,A1,A2,A3,A4,filename,ID"
RECORD_NUMBER = "7654321"


def line(patient: str, picture: str, labels: str = "1.0,0.0,0.0,1.0,0.0,0.0,0.0") -> str:
    return f"{labels},{patient}_{picture},{patient}"


TRAIN = (
    line(f"ShenzhenEye-{RECORD_NUMBER}", "OD_2019-01-02_1.jpg"),
    line(f"ShenzhenEye-{RECORD_NUMBER}", "OS_2019-01-02_2.jpg", "0,1,0,0,1,0,0"),
    line("SUSTech-12", "3.jpg", "1,0,1,0,0,0,0"),
)
VAL = (line("LishuiR-ab12cd", "20190102@101112_L3.jpg"),)
TEST = (line("Zhongshan-66", "23_11_8_OS4.jpg"),)


def write(main: Path, name: str, lines: tuple[str, ...], header: str = HEADER) -> Path:
    path = main / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    home = tmp_path / "datasets/PSMM"
    main = home / "ImageSets/Main"
    write(main, "MYOPIA/MYOPIA.csv", TRAIN)
    write(main, "MYOPIA_MLRUS-20/MYOPIA_MLRUS-20.csv", TRAIN[1:])
    write(main, "val.csv", VAL)
    write(main, "test.csv", TEST)
    (home / "JPEGImages").mkdir()
    for row in (*TRAIN, *VAL, *TEST):
        (home / "JPEGImages" / row.split(",")[-2]).write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("inside", ["", "datasets", "datasets/PSMM"])
def test_reads_the_released_layout_from_any_of_its_folders(root: Path, inside: str) -> None:
    records = read_psmm(root / inside)
    assert list(records) == ["train", "train_mlrus-20", "val", "test"]
    train = records["train"]
    assert train.labels.dtype == np.uint8
    assert train.labels.tolist() == [
        [1, 0, 0, 1, 0, 0, 0],
        [0, 1, 0, 0, 1, 0, 0],
        [1, 0, 1, 0, 0, 0, 0],
    ]
    assert train.sources == ("ShenzhenEye", "ShenzhenEye", "SUSTech")
    assert train.eyes == ("OD", "OS", None)
    assert train.patient_index.tolist() == [1, 1, 0]
    assert all(path.is_file() for path in train.paths)
    assert records["train_mlrus-20"].partition == "train"


@pytest.mark.parametrize(
    ("file", "eye"),
    [
        ("ShenzhenEye-0000001_OD_2019-01-02_1.jpg", "OD"),
        ("ShenzhenEye-0000001_OS_2019-01-02_1.jpg", "OS"),
        ("ShenzhenEye-0000001_OU_2019-01-02_1.jpg", None),
        ("SUSTech-9_2.jpg", None),
        ("LishuiR-ab12cd_20190102@101112_L3.jpg", "OS"),
        ("LishuiZ-ab12cd_20190102@101112_R12.jpg", "OD"),
        ("Zhongshan-79_7_PRE-OD2.jpg", "OD"),
        ("Zhongshan-66_23_11_8_OS4.jpg", "OS"),
        ("Clinic-1_OD_OS_1.jpg", None),
        ("L_1.jpg", None),
        ("nothing", None),
    ],
)
def test_the_eye_is_what_the_name_states(file: str, eye: str | None) -> None:
    assert eye_of(file) == eye


def test_a_patient_without_a_dash_has_an_unknown_source() -> None:
    assert [source_of(p) for p in ("A-1", "A-1-2", "17", "-3")] == ["A", "A", "unknown", "unknown"]


@pytest.mark.skipif(not RELEASED.exists(), reason="the shared label tables are not here")
def test_released_tables_have_the_published_sizes() -> None:
    sizes = {"train": (30_420, 3_192), "val": (6_377, 684), "test": (6_574, 684)}
    sources: dict[str, int] = {}
    for name, (images, patients) in sizes.items():
        split = read_table(RELEASED / f"{name}.csv")
        assert (len(split), len(set(split.patients))) == (images, patients)
        assert (split.labels[:, :2].sum(axis=1) == 1).all()
        assert (split.labels[:, 2:].sum(axis=1) == 1).all()
        for source in split.sources:
            sources[source] = sources.get(source, 0) + 1
        stated = [eye for eye, s in zip(split.eyes, split.sources, strict=True) if s == "Zhongshan"]
        assert None not in stated
    tables = [read_table(path) for path in sorted(RELEASED.glob("*.csv"))]
    together = Records(RELEASED, {table.name: table for table in tables})
    assert list(together) == ["test", "train", "train_mlrus20", "val"]
    assert sources == {
        "ShenzhenEye": 38_922,
        "SUSTech": 2_835,
        "LishuiR": 938,
        "Zhongshan": 456,
        "LishuiZ": 220,
    }


def test_the_digest_is_of_the_content_not_of_the_order(root: Path) -> None:
    train = read_psmm(root)["train"]
    assert train.select([2, 0, 1]).digest == train.digest
    digests = {train.digest, train.select([0, 1]).digest, train.select([0, 0, 1]).digest}
    main = root / "datasets/PSMM/ImageSets/Main"
    write(main, "MYOPIA/MYOPIA.csv", (TRAIN[0].replace("1.0,0.0,", "0.0,1.0,", 1), *TRAIN[1:]))
    digests.add(read_psmm(root)["train"].digest)
    assert len(digests) == 4


def test_labels_cannot_be_changed_afterwards(root: Path) -> None:
    train = read_psmm(root)["train"]
    with pytest.raises(ValueError, match="read-only"):
        train.labels[0, 0] = 0


def test_no_identifier_in_what_is_printed(root: Path) -> None:
    records = read_psmm(root)
    assert RECORD_NUMBER not in repr(records)
    assert RECORD_NUMBER not in repr(records["train"])


BAD_TABLES = {
    "missing column": (TRAIN, HEADER.replace("A4,", ""), "line 2: 9 cells under 8"),
    "unknown column": (TRAIN, HEADER.replace("A4", "A5"), "column A4 is missing"),
    "further column": (
        tuple(f"{row},0" for row in TRAIN),
        HEADER + ",A5",
        "unknown column 'A5'; expected S0, S1",
    ),
    "column twice": (tuple(f"{row},0" for row in TRAIN), HEADER + ",S0", "occurs twice"),
    "NaN": ((*TRAIN[:1], TRAIN[1].replace("0,1,", "nan,1,", 1)), HEADER, "line 3: label S0 is NaN"),
    "empty label": ((TRAIN[1].replace("0,1,", ",1,", 1),), HEADER, "line 2: label S0 is NaN"),
    "label of 2": ((TRAIN[1].replace("0,1,", "2,1,", 1),), HEADER, "S0 is neither 0 nor 1"),
    "file twice": ((*TRAIN, TRAIN[0]), HEADER, "line 5: repeats the file name of line 2"),
    "no patient": ((TRAIN[0].rsplit(",", 1)[0] + ",",), HEADER, "line 2: 'ID' is empty"),
    "folder in name": (
        (TRAIN[0].replace(",Shenzhen", ",../Shenzhen", 1),),
        HEADER,
        "no plain file name",
    ),
    "no rows": ((), HEADER, "has no row"),
    "torn quotes": (('"' + TRAIN[0],), HEADER, "not a CSV table"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_bad_table_is_refused_without_naming_anyone(root: Path, case: str) -> None:
    lines, header, says = BAD_TABLES[case]
    write(root / "datasets/PSMM/ImageSets/Main", "MYOPIA/MYOPIA.csv", lines, header)
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_psmm(root)
    assert caught.value.exit_code == 2
    assert RECORD_NUMBER not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_patient_in_two_splits_is_refused(root: Path) -> None:
    other = line(f"ShenzhenEye-{RECORD_NUMBER}", "OS_2020-01-02_9.jpg")
    home = root / "datasets/PSMM"
    (home / "JPEGImages" / other.split(",")[-2]).write_bytes(b"")
    write(home / "ImageSets/Main", "val.csv", (*VAL, other))
    with pytest.raises(ConfigurationError, match="line 3 of split 'val' is also in") as caught:
        read_psmm(root)
    printed = "".join(traceback.format_exception(caught.value))
    assert RECORD_NUMBER not in printed


def test_missing_images_are_counted_not_named(root: Path) -> None:
    for path in (root / "datasets/PSMM/JPEGImages").glob(f"*{RECORD_NUMBER}*"):
        path.unlink()
    with pytest.raises(MissingPath, match=r"2 of 3 images are not in .* first in line 2") as caught:
        read_psmm(root)
    assert RECORD_NUMBER not in str(caught.value)


def test_an_image_set_without_images_is_refused(root: Path) -> None:
    for path in (root / "datasets/PSMM/JPEGImages").iterdir():
        path.unlink()
    with pytest.raises(MissingPath, match="holds no image"):
        read_psmm(root)


def test_missing_places_are_named(root: Path, tmp_path: Path) -> None:
    for missing in (lambda: read_psmm(tmp_path / "x"), lambda: read_table(tmp_path / "x.csv")):
        with pytest.raises(MissingPath) as caught:
            missing()
        assert isinstance(caught.value, RealmnetError)
        assert caught.value.exit_code == 2
    with pytest.raises(ConfigurationError, match=r"no split 'vla'.*did you mean 'val'"):
        read_psmm(root)["vla"]


def test_two_tables_of_one_name_are_refused(root: Path) -> None:
    write(root / "datasets/PSMM/ImageSets/Main", "val/val.csv", VAL)
    with pytest.raises(ConfigurationError, match="both the split 'val'"):
        read_psmm(root)
