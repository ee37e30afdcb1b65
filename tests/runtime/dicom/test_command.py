"""`realmnet predict` on DICOM files: frames, reports and their refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ...conftest import need_package

pydicom = need_package("pydicom", "dicom")
need_package("highdicom", "dicom")

Picture = NDArray[np.uint8]
MakeEye = Callable[..., Any]
Command = Callable[..., Any]


@pytest.fixture
def file(eye_dicom: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "eye.dcm"
    path.write_bytes(eye_dicom)
    return path


def test_a_folder_of_dicom_files_is_answered_and_reported(
    realmnet: Command, file: Path, tmp_path: Path
) -> None:
    done = realmnet(tmp_path, "--json", "--sr", tmp_path / "reports")
    assert (done.code, done.err) == (0, "")
    said = json.loads(done.out)
    digest = said["input"]["sha256"]
    assert (said["input"]["laterality"], said["input"]["frame"]) == ("right", 1)
    (report,) = (tmp_path / "reports").iterdir()
    assert report.name == f"{digest}-1.sr.dcm"
    assert pydicom.dcmread(report).Modality == "SR"


def test_a_frame_by_number(
    realmnet: Command, make_eye: MakeEye, eye: Picture, tmp_path: Path
) -> None:
    path = tmp_path / "two.dcm"
    path.write_bytes(make_eye([eye[::-1], eye]).encode())
    refused = realmnet(path, "--json")
    assert refused.code == 7
    assert "name one of 1 to 2" in json.loads(refused.out)["error"]["message"]
    done = realmnet(path, "--frame", "2", "--json", "--overlay", tmp_path / "png")
    assert json.loads(done.out)["input"]["frame"] == 2
    absent = realmnet(path, "--frame", "3")
    assert absent.code == 2
    assert "it has the frames 1 to 2" in absent.err


def test_codes_of_the_users(realmnet: Command, file: Path, tmp_path: Path) -> None:
    codes = tmp_path / "codes.json"
    concept = {"value": "4711", "scheme": "SCT", "meaning": "made up", "verified": True}
    codes.write_text(json.dumps({"labels": {"PS": {**concept, "source": "this test"}}}))
    done = realmnet(file, "--sr", tmp_path / "reports", "--codes", codes)
    assert done.code == 0
    (report,) = (tmp_path / "reports").iterdir()
    assert b"4711" in report.read_bytes()
    assert pydicom.dcmread(BytesIO(report.read_bytes())).is_implicit_VR is False


def test_what_cannot_be_reported_is_said_before_any_work(
    realmnet: Command, file: Path, eye_png: bytes, tmp_path: Path
) -> None:
    png = tmp_path / "eye.png"
    png.write_bytes(eye_png)
    reports = tmp_path / "reports"
    for words, code, said in (
        ([file, png, "--sr", reports], 2, "reports on DICOM files"),
        ([file, "--codes", png], 2, "--codes without --sr"),
        ([file, "--sr", reports, "--codes", tmp_path / "absent.json"], 2, "cannot read code map"),
        ([file, "--sr", png], 8, "it is a file; name a directory"),
    ):
        done = realmnet(*words)
        assert (done.code, done.out) == (code, "")
        assert said in done.err
        assert len(done.err.splitlines()) == 1
    assert not reports.exists()


def test_a_map_for_other_labels_stops(realmnet: Command, file: Path, tmp_path: Path) -> None:
    codes = tmp_path / "codes.json"
    codes.write_text('{"labels": {"NoPL": {"value": "1", "scheme": "SCT", "meaning": "x"}}}')
    done = realmnet(file, "--sr", tmp_path / "reports", "--codes", codes)
    assert done.code == 2
    assert "code map has the label 'NoPL'" in done.err
    assert list((tmp_path / "reports").iterdir()) == []
