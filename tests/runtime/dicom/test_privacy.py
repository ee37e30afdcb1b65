"""What a header says of a person reaches the written objects, and nothing else."""

from __future__ import annotations

import json
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import PSMM, Predictor, decode_image
from realmnet_runtime.dicom import heat_map_capture, measurement_report
from realmnet_runtime.errors import RealmnetError

from ...conftest import need_package

pydicom = need_package("pydicom", "dicom")

Picture = NDArray[np.uint8]
MakeEye = Callable[..., Any]
Outcome = Callable[..., Any]


def require_nothing_of(planted: dict[str, str], *texts: str) -> None:
    for text in texts:
        for value in planted.values():
            for part in value.split("^"):
                assert part not in text


@contextmanager
def recorded() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def said_by(error: BaseException) -> str:
    """Everything a traceback would print, with what it is chained to and its attributes."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    printed = "".join(traceback.format_exception(error))
    return printed + "".join(f"{each!r} {each.__dict__}" for each in chain)


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    for name in ("pydicom", "highdicom"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    return caplog


@pytest.mark.filterwarnings("always")
def test_library_says_nothing_of_a_person(  # noqa: PLR0917 - fixtures go by name
    predictor: Predictor,
    eye_dicom: bytes,
    eye: Picture,
    planted: dict[str, str],
    everything_logged: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
    capfd: pytest.CaptureFixture[str],
) -> None:
    prediction = predictor.predict(eye_dicom)
    measurement_report(eye_dicom, prediction, PSMM)
    heat_map_capture(eye_dicom, eye, prediction, "PS")
    decoded = decode_image(eye_dicom)
    said = [json.dumps(prediction.to_dict()), repr(prediction), repr(decoded)]
    caught = capfd.readouterr()
    said += [caught.out, caught.err, everything_logged.text]
    said += [str(warning.message) for warning in recwarn]
    require_nothing_of(planted, *said)


@pytest.mark.parametrize(
    "keyword",
    [
        "PhotometricInterpretation",
        "ImageLaterality",
        "NumberOfFrames",
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "PatientBirthDate",
        "StudyDate",
        "StudyTime",
        "PatientSex",
        "PatientOrientation",
        "LossyImageCompressionRatio",
    ],
)
def test_values_in_the_wrong_place_are_not_repeated(  # noqa: PLR0917 - fixtures go by name
    make_eye: MakeEye,
    predictor: Predictor,
    eye: Picture,
    planted: dict[str, str],
    everything_logged: pytest.LogCaptureFixture,
    keyword: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """pydicom and highdicom quote values they do not like, in warnings, logs and errors."""
    dataset = make_eye([eye]).dataset()
    name = planted["PatientName"].encode() + b" "
    tag = pydicom.tag.Tag(keyword)
    vr = pydicom.datadict.dictionary_VR(tag)
    dataset[tag] = pydicom.dataelem.RawDataElement(
        tag, vr, len(name), name, 0, is_implicit_VR=False, is_little_endian=True
    )
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    source = stream.getvalue()
    everything_logged.clear()
    capfd.readouterr()
    said = []
    with recorded() as warned:
        try:
            prediction = predictor.predict(source)
            measurement_report(source, prediction, PSMM)
            heat_map_capture(source, eye, prediction, "PS")
        except RealmnetError as error:
            said.append(said_by(error))
    caught = capfd.readouterr()
    said += [caught.out, caught.err, everything_logged.text]
    said += [str(warning.message) for warning in warned]
    require_nothing_of(planted, *said)


@pytest.mark.parametrize("position", range(0, 1200, 150))
def test_damaged_headers_are_not_repeated(
    make_eye: MakeEye, small: Picture, planted: dict[str, str], position: int
) -> None:
    data = bytearray(make_eye([small]).encode())
    data[400 + position : 400 + position + 3] = b"\xff\xff\xff"
    with recorded() as warned:
        try:
            decode_image(bytes(data))
        except RealmnetError as error:
            require_nothing_of(planted, said_by(error))
    require_nothing_of(planted, *(str(warning.message) for warning in warned))


def test_command_says_nothing_of_a_person(  # noqa: PLR0917 - fixtures go by name
    realmnet: Outcome,
    make_eye: MakeEye,
    eye_dicom: bytes,
    small: Picture,
    planted: dict[str, str],
    tmp_path: Path,
) -> None:
    good, grey, cut, many = (tmp_path / name for name in ("a.dcm", "b.dcm", "c.dcm", "d.dcm"))
    good.write_bytes(eye_dicom)
    grey.write_bytes(make_eye([small[..., 0]], photometric="MONOCHROME2").encode())
    cut.write_bytes(eye_dicom[:1500])
    many.write_bytes(make_eye([small, small]).encode())
    reports, overlays, lines = tmp_path / "sr", tmp_path / "png", tmp_path / "answers.jsonl"
    options = ["--sr", reports, "--overlay", overlays, "--output", lines]
    for words in (["--json"], ["--debug"]):
        done = realmnet(good, grey, cut, many, *options, *words)
        assert done.code == 7
        require_nothing_of(planted, done.out, done.err, lines.read_text())
    # of the good one and of the grey one, which is ungradable and has a report of its quality
    for overlay in overlays.iterdir():
        require_nothing_of(planted, overlay.name)
        for value in planted.values():
            assert value.encode() not in overlay.read_bytes()
    for report in reports.iterdir():
        require_nothing_of(planted, report.name)
        assert planted["PatientID"].encode() in report.read_bytes()
    assert len(list(reports.iterdir())) == 2
