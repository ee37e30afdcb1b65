"""A hospital's own table: what a column map can say, what is refused, what is never printed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_benchmarks.intake.column_map import ColumnMap, read_column_map
from realmnet_benchmarks.intake.hospital_tables import examine_hospital_table, read_hospital_table
from realmnet_benchmarks.splits import Split
from realmnet_benchmarks.tables import examine_table, read_table, write_table
from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.labels import PERIPHERAL, PSMM

MAP = """
file = "Image"
patient = "PID"
eye = "Side"
date = "Taken"
date_format = "%d.%m.%Y"
source = "CityHospital"
delimiter = ";"

[eyes]
right = ["re"]
left = ["li"]

[labels.PS]
column = "Staphyloma"
present = ["Yes"]
absent = ["no"]
unknown = ["", "ungradable"]

[labels.S0]
column = "Staphyloma"
present = ["no"]
absent = ["yes"]
unknown = ["", "ungradable"]

[[choices]]
column = "Grade"
values = { 0 = "NoMRL", 1 = "TFO", 2 = "DCA", 3 = "A3", 4 = "MA" }
"""
HEADER = "Image;PID;Side;Taken;Staphyloma;Grade;Remark"
RECORD_NUMBER = "7654321"
ROWS = (
    f"a.jpg;{RECORD_NUMBER};re;02.01.2019; YES ;4;seen",
    f"b.jpg;{RECORD_NUMBER};li;02.01.2019;no;0;",
    "c.jpg;12;both;;No;1;",
)


def write(folder: Path, rows: tuple[str, ...] = ROWS, text: str = MAP) -> tuple[Path, ColumnMap]:
    (folder / "map.toml").write_text(text, encoding="utf-8")
    (folder / "City.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return folder / "City.csv", read_column_map(folder / "map.toml")


def test_the_result_is_a_split_like_any_other(tmp_path: Path) -> None:
    split = read_hospital_table(*write(tmp_path))
    assert (split.name, split.label_set, split.images) == ("city", PSMM, tmp_path)
    assert split.files == ("a.jpg", "b.jpg", "c.jpg")
    assert split.labels.tolist() == [
        [0, 1, 0, 0, 0, 0, 1],
        [1, 0, 1, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 0, 0],
    ]
    assert split.eyes == ("OD", "OS", None)
    assert split.sources == ("CityHospital",) * 3
    assert split.exams[0] == split.exams[1] is not None
    assert split.exams[2] is None
    assert split.left_out == ()


def test_unknown_labels_are_refused_or_left_out_and_counted(tmp_path: Path) -> None:
    rows = (ROWS[0], ROWS[1].replace(";no;", ";ungradable;"), ROWS[2])
    with pytest.raises(ConfigurationError, match="line 3: 'Staphyloma' is unknown; grade it"):
        read_hospital_table(*write(tmp_path, rows))
    split = read_hospital_table(*write(tmp_path, rows, 'unknown_labels = "leave out"\n' + MAP))
    assert split.files == ("a.jpg", "c.jpg")
    assert split.lines == (2, 4)
    assert split.left_out == (3,)
    assert "1 rows left out" in repr(split)
    assert split.select([1]).lines == (4,)
    with pytest.raises(ConfigurationError, match="all 1 rows have an unknown label"):
        read_hospital_table(*write(tmp_path, rows[1:2], 'unknown_labels = "leave out"\n' + MAP))


BAD_ROWS = {
    "value of no meaning": (
        f"a.jpg;{RECORD_NUMBER};re;;maybe{RECORD_NUMBER};4;",
        "does not list; it lists 'yes'",
    ),
    "NaN label": (f"a.jpg;{RECORD_NUMBER};re;;yes;NaN;", "line 2: 'Grade' is unknown"),
    "date of another form": (
        f"a.jpg;{RECORD_NUMBER};re;2019-01-02;yes;4;",
        "does not follow date_format",
    ),
    "folder": (f"x/{RECORD_NUMBER}.jpg;{RECORD_NUMBER};re;;yes;4;", "no plain file name"),
    "no patient": (f"{RECORD_NUMBER}.jpg;;re;;yes;4;", "'PID' is empty"),
    "width": (f"a.jpg;{RECORD_NUMBER};re", "3 cells under 7 columns"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_row_is_refused_without_naming_anyone(tmp_path: Path, case: str) -> None:
    row, says = BAD_ROWS[case]
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_hospital_table(*write(tmp_path, (row,)))
    assert RECORD_NUMBER not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_faults_are_given_and_the_sound_rows_kept(tmp_path: Path) -> None:
    rows = (*(row for row, _ in BAD_ROWS.values()), ROWS[2])
    reading = examine_hospital_table(*write(tmp_path, rows))
    lines = {int(re.findall(r"line (\d+)", fault)[0]) for fault in reading.faults}
    assert lines == set(range(2, 2 + len(BAD_ROWS)))
    assert reading.split is not None
    assert reading.split.files == ("c.jpg",)


BAD_MAPS = {
    "misspelt key": (MAP.replace("patient =", "patinet ="), "did you mean 'patient'"),
    "misspelt deeper": (MAP.replace("present =", "presnet =", 1), "did you mean 'present'"),
    "unknown label": (MAP.replace('"DCA"', '"DAC"'), "no label 'DAC'.*did you mean 'DCA'"),
    "label not mapped": (MAP.replace('4 = "MA"', '4 = "A3"'), "label MA not at all"),
    "label twice": (MAP.replace('4 = "MA"', '4 = "MA", 5 = "PS"'), "label PS twice"),
    "unknown column": (MAP.replace('"Grade"', '"Grad"'), "'Grad'.*did you mean 'Grade'"),
    "two meanings": (MAP.replace('"Yes"', '"Yes", "NO"'), "'no' two meanings"),
    "encoding": ('encoding = "utf-88"\n' + MAP, "'utf-88' is not known"),
    "date format": (MAP.replace("%d.%m", "%d.%Q"), "cannot be read back"),
    "no TOML": (MAP + "[", "is not TOML"),
    "delimiter": (MAP.replace('";"', '"/"'), "delimiter"),
}


@pytest.mark.parametrize("case", BAD_MAPS)
def test_a_map_that_cannot_be_right_is_refused(tmp_path: Path, case: str) -> None:
    text, says = BAD_MAPS[case]
    with pytest.raises(ConfigurationError, match=says) as caught:
        read_hospital_table(*write(tmp_path, ROWS, text))
    assert caught.value.exit_code == 2
    assert RECORD_NUMBER not in str(caught.value)


def test_places_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPath):
        read_column_map(tmp_path / "none.toml")
    _, columns = write(tmp_path)
    with pytest.raises(MissingPath):
        read_hospital_table(tmp_path / "none.csv", columns)


def test_another_encoding_is_read_and_the_wrong_one_named(tmp_path: Path) -> None:
    path, columns = write(tmp_path)
    path.write_bytes((HEADER + "\n" + ROWS[0].replace("seen", "複查") + "\n").encode("gb18030"))
    with pytest.raises(ConfigurationError, match="CSV table in UTF-8"):
        read_hospital_table(path, columns)
    chinese = read_column_map_with(tmp_path, 'encoding = "gb18030"\n' + MAP)
    assert read_hospital_table(path, chinese).files == ("a.jpg",)


def read_column_map_with(folder: Path, text: str) -> ColumnMap:
    (folder / "map.toml").write_text(text, encoding="utf-8")
    return read_column_map(folder / "map.toml")


def same(one: Split, other: Split) -> bool:
    names = ("name", "images", "files", "patients", "sources", "eyes", "exams")
    equal = all(getattr(one, name) == getattr(other, name) for name in names)
    return equal and np.array_equal(one.labels, other.labels)


def test_a_written_hospital_table_reads_back_with_eye_exam_and_source(tmp_path: Path) -> None:
    split = read_hospital_table(*write(tmp_path))
    write_table(tmp_path / "city.csv", split)
    assert "eye,exam,source" in (tmp_path / "city.csv").read_text().splitlines()[0]
    assert same(read_table(tmp_path / "city.csv"), split)


plain_text = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\\r\n"), min_size=1)
names = plain_text.filter(lambda t: t.strip() == t and t not in {".", ".."})


@given(
    st.lists(
        st.tuples(
            names,
            names,
            st.sampled_from(["OD", "OS", None]),
            st.sampled_from(["k", None]),
            names,
            st.lists(st.integers(0, 1), min_size=5, max_size=5),
        ),
        min_size=1,
        max_size=6,
        unique_by=lambda row: row[0],
    )
)
def test_writing_and_reading_a_table_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, str, None, None, str, list[int]]],
) -> None:
    folder = tmp_path_factory.mktemp("law")
    files, patients, eyes, exams, sources, labels = zip(*rows, strict=True)
    split = Split(
        name="val",
        images=folder,
        label_set=PERIPHERAL,
        files=files,
        labels=np.array(labels, np.uint8),
        patients=patients,
        sources=sources,
        eyes=eyes,
        exams=exams,
    )
    write_table(folder / "val.csv", split)
    assert same(read_table(folder / "val.csv", PERIPHERAL), split)


def test_released_columns_stay_alone_where_the_names_say_all(tmp_path: Path) -> None:
    text = "S0,S1,A0,A1,A2,A3,A4,filename,ID\n1,0,0,1,0,0,0,A-1_OD_2019-01-02_1.jpg,A-1\n"
    (tmp_path / "val.csv").write_text(text)
    write_table(tmp_path / "again.csv", read_table(tmp_path / "val.csv"))
    assert (tmp_path / "again.csv").read_text() == text


def test_a_released_table_gives_all_its_faults(tmp_path: Path) -> None:
    good = "1,0,0,1,0,0,0,A-1_1.jpg,A-1"
    lines = ["S0,S1,A0,A1,A2,A3,A4,filename,ID", good, good, "nan,0,0,2,0,0,0,A-1_2.jpg,A-1", "1,0"]
    (tmp_path / "val.csv").write_text("\n".join(lines))
    reading = examine_table(tmp_path / "val.csv")
    assert [re.sub(r".*csv, ", "", fault).split(";")[0] for fault in reading.faults] == [
        "line 5: 2 cells under 9 columns",
        "line 3: repeats the file name of line 2",
        "line 4: label S0 is NaN",
        "line 4: label A1 is neither 0 nor 1",
    ]
    assert reading.split is not None
    assert len(reading.split) == 1
