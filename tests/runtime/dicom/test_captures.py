"""`realmnet predict --captures`: a DICOM heat map of each finding, valid and read back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import PSMM, Predictor
from realmnet_runtime.drawing.heat_overlay import draw_heat_map
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.signatures.trust import ANY_BUNDLE

from ..conftest import BundleMaker

pydicom = pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")
pytest.importorskip("highdicom", reason="captures need the extra 'dicom'")

Picture = NDArray[np.uint8]
Command = Callable[..., Any]
Validate = Callable[[bytes], list[str]]


@pytest.fixture(scope="module")
def two(make_bundle: BundleMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle.finding(tmp_path_factory.mktemp("two") / "two.realmnet", "PS", "MA")


@pytest.fixture
def file(eye_dicom: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "eye.dcm"
    path.write_bytes(eye_dicom)
    return path


def test_each_finding_has_a_valid_object_with_the_heat_map(
    realmnet: Command, file: Path, two: Path, complaints: Validate, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "captures"
    words = ["--bundle", two, "--allow-unsigned", "--heatmap-side", "320", "--json"]
    done = realmnet(file, *words, "--captures", folder, "--sr", tmp_path / "reports")

    assert (done.code, done.err) == (0, "")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    made = {path.name: path for path in folder.iterdir()}
    assert set(made) == {f"{digest}-1-PS.sc.dcm", f"{digest}-1-MA.sc.dcm"}
    assert [path.name for path in (tmp_path / "reports").iterdir()] == [f"{digest}-1.sr.dcm"]
    with Predictor.open(two, threads=1, trust=ANY_BUNDLE) as predictor:
        answer = predictor.predict(file)
    assert answer.findings == ("PS", "MA")
    for instance, label in enumerate(answer.findings, start=1):
        content = made[f"{digest}-1-{label}.sc.dcm"].read_bytes()
        assert complaints(content) == []
        capture = pydicom.dcmread(made[f"{digest}-1-{label}.sc.dcm"])
        assert capture.InstanceNumber == instance
        assert f"label {label}:" in capture.DerivationDescription
        meaning = PSMM.labels[PSMM.index(label)].meaning
        drawn = draw_heat_map(read_image(file), answer, label, meaning=meaning, longest=320)
        assert np.array_equal(capture.pixel_array, drawn)


def test_the_same_answer_again_has_the_same_uids(
    realmnet: Command, file: Path, two: Path, tmp_path: Path
) -> None:
    words = [file, "--bundle", two, "--allow-unsigned", "--heatmap-side", "256", "--captures"]
    uids = []
    for name in ("first", "second"):
        assert realmnet(*words, tmp_path / name).code == 0
        made = sorted((tmp_path / name).iterdir())
        uids.append([pydicom.dcmread(path).SOPInstanceUID for path in made])
    assert uids[0] == uids[1]
    assert len(set(uids[0])) == 2


def test_a_frame_is_named_in_file_and_reference(
    realmnet: Command, make_eye: Callable[..., Any], eye: Picture, two: Path, tmp_path: Path
) -> None:
    path = tmp_path / "two.dcm"
    path.write_bytes(make_eye([eye[::-1], eye]).encode())
    words = [
        "--bundle",
        two,
        "--allow-unsigned",
        "--heatmap-side",
        "256",
        "--captures",
        tmp_path / "captures",
    ]

    assert realmnet(path, "--frame", "2", *words).code == 0
    for made in (tmp_path / "captures").iterdir():
        assert "-2-" in made.name
        (reference,) = pydicom.dcmread(made).SourceImageSequence
        assert reference.ReferencedFrameNumber == 2


def test_no_finding_is_said_and_makes_no_file(
    realmnet: Command, file: Path, make_bundle: BundleMaker, tmp_path: Path
) -> None:
    none = make_bundle.finding(tmp_path / "none.realmnet")
    done = realmnet(file, "--bundle", none, "--json", "--captures", tmp_path / "captures")

    assert done.code == 0
    assert done.err == f"realmnet: {file}: no findings, no DICOM heat map\n"
    assert list((tmp_path / "captures").iterdir()) == []


def test_what_cannot_be_captured_is_said_before_any_work(
    realmnet: Command, file: Path, eye_png: bytes, two: Path, tmp_path: Path
) -> None:
    png = tmp_path / "eye.png"
    png.write_bytes(eye_png)
    folder = tmp_path / "captures"
    for words, code, said in (
        ([file, png, "--captures", folder], 2, "--captures draws on DICOM files"),
        ([file, "--captures", folder, "--codes", png], 2, "--codes without --sr"),
        ([file, "--captures", png], 8, "it is a file; name a directory"),
    ):
        done = realmnet(*words, "--bundle", two, "--allow-unsigned")
        assert (done.code, done.out) == (code, "")
        assert said in done.err
        assert len(done.err.splitlines()) == 1
    assert not folder.exists()


def test_a_source_without_uids_is_refused_and_leaves_no_file(
    realmnet: Command, make_eye: Callable[..., Any], eye: Picture, two: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bare.dcm"
    path.write_bytes(make_eye([eye], changes={"StudyInstanceUID": None}).encode())

    done = realmnet(path, "--bundle", two, "--allow-unsigned", "--captures", tmp_path / "captures")

    assert done.code == 7
    assert "UID" in done.err
    assert list((tmp_path / "captures").iterdir()) == []
