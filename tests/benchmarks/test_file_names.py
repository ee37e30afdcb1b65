"""File names: what they state, what stays unknown, and that any text is answered."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_benchmarks.file_names import FileName, exam_key, parse_file_name
from realmnet_benchmarks.tables import read_table

RELEASED = Path(__file__).parents[3] / "shared/reference/psmm"
DAY = dt.date(2019, 1, 2)


@pytest.mark.parametrize(
    ("file", "patient", "source", "eye", "date"),
    [
        (
            "ShenzhenEye-0000001_OD_2019-01-02_1.jpg",
            "ShenzhenEye-0000001",
            "ShenzhenEye",
            "OD",
            DAY,
        ),
        ("ShenzhenEye-0000001_OU_2019-01-02_1", "ShenzhenEye-0000001", "ShenzhenEye", None, DAY),
        ("SUSTech-9_2.jpg", "SUSTech-9", "SUSTech", None, None),
        ("LishuiR-ab12cd_20190102@101112_L3.jpg", "LishuiR-ab12cd", "LishuiR", "OS", DAY),
        ("LishuiZ-123456_20190102@101112_R12.png", "LishuiZ-123456", "LishuiZ", "OD", DAY),
        ("Zhongshan-79_7_PRE-OD2.jpg", "Zhongshan-79", "Zhongshan", "OD", None),
        ("Zhongshan-66_23_11_8_OS4.jpg", "Zhongshan-66", "Zhongshan", "OS", None),
        ("A-1_OD_2019-02-30_1.jpg", "A-1", "A", "OD", None),
        ("A-1_OD_0019-01-02_1.jpg", "A-1", "A", "OD", None),
        ("A-1_OD_2019-01-02_2019-01-03.jpg", "A-1", "A", "OD", None),
        ("A-1_OD_2019-01-02_20190102@101112_1.jpg", "A-1", "A", "OD", DAY),
        ("A-1_20190102_OS1.jpg", "A-1", "A", "OS", None),
        ("A-20190102@101112_OS1.jpg", "A-20190102@101112", "A", "OS", None),
        ("1234567-8_OD_1.jpg", "1234567-8", "unknown", "OD", None),
        ("IMG_0001.jpg", "IMG", "unknown", None, None),
        ("eye.jpg", None, "unknown", None, None),
        ("_OD.jpg", None, "unknown", "OD", None),
        ("", None, "unknown", None, None),
    ],
)
def test_a_name_is_read_for_what_it_states(
    file: str, patient: str | None, source: str, eye: str | None, date: dt.date | None
) -> None:
    read = parse_file_name(file)
    assert (read.patient, read.source, read.eye, read.date) == (patient, source, eye, date)
    assert "2019" not in repr(read)


@given(st.text())
def test_any_text_is_answered(text: str) -> None:
    assert isinstance(parse_file_name(text), FileName)


@given(
    st.dates(dt.date(1980, 1, 1), dt.date(2099, 12, 31)),
    st.sampled_from(["%Y-%m-%d", "%Y%m%d@101112"]),
    st.sampled_from([("OD", "OD"), ("OS", "OS"), ("OU", None), ("R", "OD"), ("L", "OS")]),
)
def test_both_forms_of_date_read_back(
    date: dt.date, form: str, eye: tuple[str, str | None]
) -> None:
    read = parse_file_name(f"A-1_{date.strftime(form)}_{eye[0]}3.jpg")
    assert (read.patient, read.date, read.eye) == ("A-1", date, eye[1])


def test_an_exam_is_a_patient_and_a_day() -> None:
    key = exam_key("A-1", DAY)
    assert key is not None
    assert len(key) == 16
    assert key == exam_key("A-1", DAY)
    assert len({key, exam_key("A-2", DAY), exam_key("A-1", dt.date(2019, 1, 3))}) == 3
    assert exam_key("A-1", None) is None


def test_rows_of_one_exam_share_a_key_that_shows_nothing(tmp_path: Path) -> None:
    names = ["OD_2019-01-02_1.jpg", "OS_2019-01-02_2.jpg", "OS_2020-01-02_3.jpg", "4.jpg"]
    lines = [f"1,0,0,1,0,0,0,A-1_{name},A-1" for name in names]
    (tmp_path / "val.csv").write_text("\n".join(["S0,S1,A0,A1,A2,A3,A4,filename,ID", *lines]))
    split = read_table(tmp_path / "val.csv")
    first, second, third, unknown = split.exams
    assert first == second != third
    assert unknown is None
    assert split.lines == (2, 3, 4, 5)
    chosen = split.select([2, 0])
    assert chosen.exams == (third, first)
    assert chosen.lines == (4, 2)


@pytest.mark.skipif(not RELEASED.exists(), reason="the shared label tables are not here")
def test_released_names_state_what_their_source_records() -> None:
    nowhere = {"SUSTech": 0, "Zhongshan": 0}
    dated: Counter[str] = Counter()
    sided: Counter[str] = Counter()
    for name in ("train", "val", "test"):
        split = read_table(RELEASED / f"{name}.csv")
        for source, exam, eye in zip(split.sources, split.exams, split.eyes, strict=True):
            dated[source] += exam is not None
            sided[source] += eye is not None
    # 64 Shenzhen pictures are OU; SUSTech states neither eye nor date.
    assert dated == {"ShenzhenEye": 38_922, "LishuiR": 938, "LishuiZ": 220, **nowhere}
    known = {"ShenzhenEye": 38_858, "LishuiR": 938, "LishuiZ": 220, "Zhongshan": 456}
    assert sided == {**known, "SUSTech": 0}
