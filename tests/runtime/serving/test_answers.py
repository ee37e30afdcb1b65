"""What a request is answered with: what the predictor says, drawn and recorded where asked for."""

from __future__ import annotations

import base64
import hashlib
import json
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from realmnet_runtime import ImageRefused, Predictor, read_image
from realmnet_runtime.audit import AuditLog, verify_logs
from realmnet_runtime.drawing.heat_overlay import FULL_EVIDENCE, draw_heat, heat_layer
from realmnet_runtime.refusals import refused_answer
from realmnet_runtime.serving import Service

from .conftest import Ask, client_of, comparable

NAME = "Zwickelhuber_MRN7741953_right.png"


def decoded(text: str) -> NDArray[np.uint8]:
    data = np.frombuffer(base64.b64decode(text), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)


@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "text/plain", ""])
def test_a_body_is_answered_as_the_predictor_answers(
    client: TestClient, picture: bytes, expected: Ask, kind: str
) -> None:
    reply = client.post("/predict", content=picture, headers={"Content-Type": kind})
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "application/json"
    assert comparable(reply.json()) == expected(picture)


def test_a_form_is_answered_and_the_files_name_goes_nowhere(
    client: TestClient, picture: bytes, expected: Ask
) -> None:
    files = {"whatever": (NAME, picture, "image/png")}
    reply = client.post("/predict", files=files, data={"a field": "of no interest"})
    assert reply.status_code == 200
    assert comparable(reply.json()) == expected(picture)
    assert "Zwickelhuber" not in reply.text + client.get("/metrics").text


def test_a_large_file_of_a_form_stays_in_memory(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a picture was written to a temporary file")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    content = bytes(3 << 20)
    reply = client.post("/predict", files={"picture": (NAME, content)})
    assert reply.status_code == 422
    assert reply.json()["input"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_refused_picture_is_422_with_the_one_line(
    client: TestClient, predictor: Predictor
) -> None:
    for content in (
        b"",
        b"no picture",
        cv2.imencode(".png", np.zeros((90, 90, 3), np.uint8))[1].tobytes(),
    ):
        reply = client.post("/predict", content=content)
        assert reply.status_code == 422
        with pytest.raises(ImageRefused) as refused:
            predictor.predict(content)
        digest = hashlib.sha256(content).hexdigest()
        assert reply.json() == refused_answer(digest, refused.value)


def test_ungradable_is_an_answer(client: TestClient, blurred: bytes, expected: Ask) -> None:
    reply = client.post("/predict?heat_maps=all", content=blurred)
    assert reply.status_code == 200
    said = reply.json()
    assert said["error"]["kind"] == "Ungradable"
    assert (said["findings"], said["heat_maps"]["png"]) == ([], {})
    assert comparable(said) == expected(blurred)
    reply = client.post("/predict?answer_ungradable=true", content=blurred)
    assert comparable(reply.json()) == expected(blurred, answer_ungradable=True)
    assert len(reply.json()["probabilities"]) == 7


def test_heat_maps_are_those_of_the_prediction(
    client: TestClient, predictor: Predictor, eye_png: bytes
) -> None:
    found = predictor.predict(eye_png)
    reply = client.post("/predict?heat_maps=findings&picture=true&side=320", content=eye_png)
    said = reply.json()
    assert list(said["heat_maps"]["png"]) == list(found.findings)
    every = client.post("/predict?heat_maps=all&side=320", content=eye_png).json()["heat_maps"]
    assert list(every["png"]) == list(found.thresholds)
    assert (every["width"], every["height"]) == (320, 240)
    for name, text in every["png"].items():
        layer = heat_layer(found.heat_map(name, size=(240, 320)) / np.float32(FULL_EVIDENCE))
        np.testing.assert_array_equal(decoded(text), layer[..., [2, 1, 0, 3]])
    shown = decoded(said["picture"]["jpeg"])[..., ::-1].astype(int)
    small = cv2.resize(read_image(eye_png), (320, 240), interpolation=cv2.INTER_AREA)
    assert np.abs(shown - small).mean() < 3.0


def test_a_layer_over_a_picture_is_the_drawn_map(eye: NDArray[np.uint8]) -> None:
    heat = np.tile(np.linspace(-0.5, 1.5, 640, dtype=np.float32), (480, 1))
    layer = heat_layer(heat).astype(np.float64)
    opacity = layer[..., 3:] / 255.0
    composed = layer[..., :3] * opacity + eye * (1.0 - opacity)
    drawn = draw_heat(eye, heat)
    # But for the line around what exceeds half, whose smoothed rim is mixed otherwise.
    inside, outside = slice(325, 636), slice(0, 315)
    for columns in (inside, outside):
        here = (slice(4, -4), columns)
        np.testing.assert_allclose(composed[here], drawn[here], atol=1.5)
    line = (slice(4, -4), slice(315, 325))
    assert min(composed[line].max(), drawn[line].max()) > 200


def dicom_file(frames: list[NDArray[np.uint8]]) -> bytes:
    """A secondary capture that names a patient."""
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs the extra 'dicom'")
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    several = len(frames) > 1
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7" + (".4" if several else "")
    meta.MediaStorageSOPInstanceUID = "1.2.826.0.1.999.1003"
    file = pydicom.Dataset()
    file.file_meta = meta
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.826.0.1.999.1003"
    file.PatientName, file.PatientID = "Zwickelhuber^Edeltraud", "MRN-7741953"
    file.Modality, file.Laterality, file.ImageLaterality = "OT", "", "R"
    file.Rows, file.Columns, file.SamplesPerPixel = *frames[0].shape[:2], 3
    file.PhotometricInterpretation, file.PlanarConfiguration = "RGB", 0
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    if several:
        file.NumberOfFrames = len(frames)
    file.PixelData = b"".join(frame.tobytes() for frame in frames)
    file["PixelData"].VR = "OB"
    stream = BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def test_a_dicom_file_is_answered_and_its_patient_is_not_named(
    client: TestClient, eye: NDArray[np.uint8], expected: Ask
) -> None:
    file = dicom_file([eye])
    reply = client.post("/predict", content=file, headers={"Content-Type": "application/dicom"})
    assert reply.status_code == 200
    assert comparable(reply.json()) == expected(file)
    assert reply.json()["input"]["laterality"] == "right"
    assert not any(word in reply.text for word in ("Zwickelhuber", "7741953", "1.2.826"))


def test_a_frame_of_several_must_be_named(
    client: TestClient, eye: NDArray[np.uint8], expected: Ask
) -> None:
    file = dicom_file([eye, np.ascontiguousarray(eye[:, ::-1])])
    reply = client.post("/predict", content=file)
    assert reply.status_code == 422
    assert "frame" in reply.json()["error"]["message"]
    for frame in (1, 2):
        reply = client.post(f"/predict?frame={frame}", content=file)
        assert comparable(reply.json()) == expected(file, frame=frame)
    assert client.post("/predict?frame=3", content=file).status_code == 400


def test_answers_and_refusals_are_recorded(
    predictor: Predictor, picture: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    with Service(predictor, log=AuditLog(path)) as service, client_of(service) as client:
        answer = client.post("/predict", content=picture).json()
        client.post("/predict", files={"picture": (NAME, b"no picture")})
        damaged = {"Content-Type": "multipart/form-data; boundary=b"}
        assert client.post("/predict", content=b"", headers=damaged).status_code == 400
    verify_logs([path])
    _, first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert answer["input"]["sha256"] in json.dumps(first)
    assert "UnreadableImage" in json.dumps(second)
    assert "Zwickelhuber" not in path.read_text(encoding="utf-8")


def test_what_cannot_be_recorded_is_not_answered(
    predictor: Predictor, picture: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    log = AuditLog(path)
    path.unlink()
    path.mkdir()
    with Service(predictor, log=log) as service, client_of(service) as client:
        for content in (picture, b"no picture"):
            reply = client.post("/predict", content=content)
            assert reply.status_code == 500
            assert reply.json()["error"]["kind"] == "OutputError"
            assert "probabilities" not in reply.text


def test_health_says_what_answers(client: TestClient, predictor: Predictor) -> None:
    reply = client.get("/health")
    assert reply.status_code == 200
    said = reply.json()
    assert said["live"] is said["ready"] is True
    assert said["bundle_sha256"] == predictor.bundle.digest
    assert (said["engine"], said["precision"]) == (predictor.facts.engine, "fp32")
    assert said["notice"] == predictor.manifest.model.notice


def test_metrics_count_and_identify_nobody(
    predictor: Predictor, picture: bytes, blurred: bytes
) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    with Service(predictor) as service, client_of(service) as client:
        for content in (picture, picture, blurred, b"no picture"):
            client.post("/predict", content=content)
        text = client.get("/metrics").text
    found = {
        (sample.name, sample.labels.get("outcome")): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["realmnet_requests_total", "answered"] == 2
    assert found["realmnet_requests_total", "ungradable"] == 1
    assert found["realmnet_requests_total", "refused"] == 1
    assert found["realmnet_answer_seconds_count", None] == 3
    assert found["realmnet_requests_in_hand", None] == 0
    assert hashlib.sha256(picture).hexdigest() not in text


def test_descriptions_are_there_and_pages_from_elsewhere_are_not(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/predict", "/health", "/metrics"}
    assert client.get("/docs").status_code == client.get("/redoc").status_code == 404
