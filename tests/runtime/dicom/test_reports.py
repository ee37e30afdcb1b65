"""Reports and heat maps: valid by dciodvfy, and read back with pydicom and highdicom."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import PERIPHERAL, PSMM, Prediction, Predictor
from realmnet_runtime.dicom import heat_map_capture, measurement_report
from realmnet_runtime.dicom.concepts import CodeMap, Concept
from realmnet_runtime.errors import ConfigurationError, UnreadableImage, UsageError
from realmnet_runtime.quality import Quality, Reason

from ...conftest import need_package

pydicom = need_package("pydicom", "dicom")
highdicom = need_package("highdicom", "dicom")
from pydicom.sr._concepts_dict import concepts  # noqa: E402

Picture = NDArray[np.uint8]
MakeEye = Callable[..., Any]
Validate = Callable[[bytes], list[str]]

# dciodvfy knows no private scheme; private codes are what an unverified concept is written with.
ALLOWED = {
    "Warning - Unrecognized defined term <99REALMNET> for value 1 of attribute "
    "<Coding Scheme Designator>": "findings of RealMNet have no verified code"
}
_DIRECTORY = "Warning - Missing attribute or value that would be needed to build DICOMDIR - "
# What the source does not say of its patient and study stays empty; nothing is invented.
ALLOWED_OF_NOBODY = {
    **ALLOWED,
    **{
        _DIRECTORY + name: "empty in the source"
        for name in ("Patient ID", "Study ID", "Study Date", "Study Time")
    },
    "Warning - is only permitted to be empty when actually unknown; should be absent (not empty) "
    "if an unpaired body part, and have a value if a paired body part - attribute "
    "<Laterality>": "the source does not say which eye",
}
NOW = datetime(2026, 3, 4, 5, 6, 7)  # noqa: DTZ001 - DICOM's times carry no zone


def groups_of(report: bytes) -> dict[str, Any]:
    """Measurement groups by their tracking identifier."""
    document = highdicom.sr.srread(BytesIO(report))
    assert isinstance(document, highdicom.sr.Comprehensive3DSR)
    found = document.content.get_image_measurement_groups()
    return {group.tracking_identifier: group for group in found}


def texts_of(dataset: Any) -> list[str]:  # noqa: ANN401 - pydicom's Dataset is imported late
    return [element.value for element in dataset.iterall() if element.keyword == "TextValue"]


def evaluations_of(group: Any) -> dict[str, str]:  # noqa: ANN401
    return {
        evaluation.name.value: evaluation.value.value
        for evaluation in group.get_qualitative_evaluations()
    }


def spoilt(*texts: str) -> Quality:
    reasons = tuple(Reason("blurred", "sharpness", 0.1, 0.2, text) for text in texts)
    return Quality(reasons=reasons, measures={}, not_measured={}, limits_from="default")


@pytest.fixture(scope="module")
def report(eye_dicom: bytes, answer: Prediction) -> bytes:
    return measurement_report(eye_dicom, answer, PSMM, created=NOW)


# Validity


@pytest.mark.parametrize("syntax", ["explicit", "implicit", "jpeg"])
def test_reports_and_heat_maps_are_valid(
    make_eye: MakeEye, eye: Picture, predictor: Predictor, complaints: Validate, syntax: str
) -> None:
    photometric = "YBR_FULL" if syntax == "jpeg" else "RGB"
    source = make_eye([eye], syntax=syntax, photometric=photometric).encode()
    answer = predictor.predict(source)
    found = complaints(measurement_report(source, answer, PSMM))
    assert set(found) <= set(ALLOWED)
    assert complaints(heat_map_capture(source, eye, answer, "PS")) == []


def test_reports_of_undecided_answers_and_bad_pictures_are_valid(
    eye_dicom: bytes, answer: Prediction, complaints: Validate
) -> None:
    undecided = dataclasses.replace(
        answer,
        grade=None,
        staphyloma=None,
        pathologic_myopia=None,
        inconsistencies=("two of the exclusive labels",),
        laterality="unknown",
        quality=spoilt("too dark", "lid"),
    )
    report = measurement_report(eye_dicom, undecided, PSMM)
    assert set(complaints(report)) <= set(ALLOWED)
    groups = groups_of(report)
    reading = groups["reading of the findings"]
    assert evaluations_of(reading) == {"pathologic-myop": "121059", "META-PM": "undecided"}
    assert "two of the exclusive labels" in texts_of(reading[0])
    assert evaluations_of(groups["quality of the picture"]) == {"111101": "ungradable"}
    assert {"too dark", "lid"} <= set(texts_of(groups["quality of the picture"][0]))
    assert reading.finding_sites[0].laterality is None


# Content


def test_every_probability_threshold_and_presence_comes_back(
    report: bytes, answer: Prediction
) -> None:
    groups = groups_of(report)
    assert len(groups) == len(PSMM) + 2
    for label in PSMM.labels:
        group = groups[f"label {label.name}"]
        assert group.finding_type.value == label.name
        assert group.finding_type.scheme_designator == "99REALMNET"
        values = {m.name.value: (m.value, m.unit.value) for m in group.get_measurements()}
        assert values == {
            "probability": (answer.probabilities[label.name], "1"),
            "threshold": (answer.thresholds[label.name], "1"),
        }
        present = label.name in answer.findings
        assert evaluations_of(group) == {"121052": "52101004" if present else "272519000"}


def test_probabilities_come_back_without_highdicom(report: bytes, answer: Prediction) -> None:
    numbers = [
        float(item.FloatingPointValue)
        for item in pydicom.dcmread(BytesIO(report)).iterall()
        if item.keyword == "MeasuredValueSequence"
        for item in item.value
    ]
    assert numbers[::2] == list(answer.probabilities.values())
    assert numbers[1::2] == list(answer.thresholds.values())


def test_reading_and_quality(report: bytes, answer: Prediction) -> None:
    groups = groups_of(report)
    reading = evaluations_of(groups["reading of the findings"])
    expected = "undecided" if answer.grade is None else f"META-PM-{answer.grade}"
    assert reading["META-PM"] == expected
    codes = {None: "121059", True: "52101004", False: "272519000"}
    assert reading["pathologic-myop"] == codes[answer.pathologic_myopia]
    assert evaluations_of(groups["quality of the picture"]) == {"111101": "gradable"}


def test_every_group_names_picture_eye_and_algorithm(
    report: bytes, answer: Prediction, planted: dict[str, str]
) -> None:
    for group in groups_of(report).values():
        (image,) = group.source_images
        assert image.referenced_sop_instance_uid == planted["SOPInstanceUID"]
        assert image.referenced_frame_numbers is None
        assert group.finding_sites[0].value.meaning == "Retina"
        assert group.finding_sites[0].laterality.meaning == "Right"
        texts = texts_of(group[0])
        assert {"tiny", "1", f"bundle sha256 {answer.bundle_sha256}"} <= set(texts)
        assert f"variant {answer.variant}" in texts
        assert f"engine {answer.engine} {answer.engine_version}" in texts


def test_several_frames_are_referred_to_by_number(
    make_eye: MakeEye, eye: Picture, predictor: Predictor, complaints: Validate
) -> None:
    source = make_eye([eye[::-1], eye]).encode()
    answer = predictor.predict(source, frame=2)
    report = measurement_report(source, answer, PSMM)
    assert set(complaints(report)) <= set(ALLOWED)
    for group in groups_of(report).values():
        assert group.source_images[0].referenced_frame_numbers == [2]
    capture = heat_map_capture(source, eye, answer, "PS")
    assert complaints(capture) == []
    (reference,) = pydicom.dcmread(BytesIO(capture)).SourceImageSequence
    assert reference.ReferencedFrameNumber == 2


def test_documents_say_what_they_are_for(
    report: bytes, eye_dicom: bytes, answer: Prediction, eye: Picture
) -> None:
    document = pydicom.dcmread(BytesIO(report))
    assert {"Research use only. Not a medical device.", answer.notice} <= set(texts_of(document))
    assert document.VerificationFlag == "UNVERIFIED"
    assert document.PreliminaryFlag == "PRELIMINARY"
    capture = pydicom.dcmread(BytesIO(heat_map_capture(eye_dicom, eye, answer, "PS")))
    for text in (capture.ImageComments, capture.DerivationDescription):
        assert "Research use only. Not a medical device." in text
        assert answer.notice in text
    for made in (document, capture):
        assert "research use only" in made.SeriesDescription
        assert "research use only" in made.Manufacturer


def test_patient_and_study_are_the_sources(
    report: bytes, eye_dicom: bytes, answer: Prediction, eye: Picture, planted: dict[str, str]
) -> None:
    handed_on = set(planted) - {
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "DeviceSerialNumber",
        "InstitutionName",
    }
    for made in (report, heat_map_capture(eye_dicom, eye, answer, "PS")):
        document = pydicom.dcmread(BytesIO(made))
        for keyword in handed_on:
            assert str(document[keyword].value) == planted[keyword]
        assert document.SeriesInstanceUID != planted["SeriesInstanceUID"]
        assert document.SOPInstanceUID == document.file_meta.MediaStorageSOPInstanceUID


@pytest.mark.parametrize("syntax", ["explicit", "implicit"])
def test_names_in_other_scripts_and_sequences_are_handed_on(
    make_eye: MakeEye, eye: Picture, predictor: Predictor, complaints: Validate, syntax: str
) -> None:
    other = pydicom.Dataset()
    other.PatientID, other.TypeOfPatientID = "OTHER-9", "TEXT"
    changes = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "OtherPatientIDsSequence": [other],
    }
    source = make_eye([eye], syntax=syntax, changes=changes).encode()
    report = measurement_report(source, predictor.predict(source), PSMM)
    document = pydicom.dcmread(BytesIO(report))
    assert document.PatientName == changes["PatientName"]
    assert document.OtherPatientIDsSequence[0].PatientID == "OTHER-9"
    assert set(complaints(report)) <= set(ALLOWED)


def test_a_source_without_a_patient_gets_valid_documents(
    make_eye: MakeEye, eye: Picture, predictor: Predictor, complaints: Validate
) -> None:
    gone = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber")
    changes = dict.fromkeys([*gone, "StudyID", "StudyDate", "StudyTime"])
    source = make_eye([eye], laterality={}, changes=changes).encode()
    answer = predictor.predict(source)
    for made in (
        measurement_report(source, answer, PSMM),
        heat_map_capture(source, eye, answer, "PS"),
    ):
        assert set(complaints(made)) <= set(ALLOWED_OF_NOBODY)


def test_the_same_answer_has_the_same_uids(
    eye_dicom: bytes, answer: Prediction, report: bytes
) -> None:
    again = measurement_report(eye_dicom, answer, PSMM)
    other = dataclasses.replace(
        answer, probabilities=dict.fromkeys(answer.probabilities, 0.5), findings=()
    )
    changed = measurement_report(eye_dicom, other, PSMM)
    uids = [
        (document.SOPInstanceUID, document.SeriesInstanceUID)
        for document in (pydicom.dcmread(BytesIO(made)) for made in (report, again, changed))
    ]
    assert uids[0] == uids[1]
    assert uids[2][0] != uids[0][0]
    assert uids[2][1] == uids[0][1]
    assert all(pydicom.uid.UID(uid).is_valid for pair in uids for uid in pair)


def test_content_time_is_the_callers(report: bytes) -> None:
    document = pydicom.dcmread(BytesIO(report))
    assert (document.ContentDate, document.ContentTime) == ("20260304", "050607")


def test_a_withheld_answer_is_a_report_of_quality_alone(
    eye_dicom: bytes, answer: Prediction, complaints: Validate
) -> None:
    withheld = dataclasses.replace(
        answer, probabilities={}, findings=(), grade=None, quality=spoilt("blurred")
    )
    report = measurement_report(eye_dicom, withheld, PSMM)
    assert set(complaints(report)) <= set(ALLOWED)
    assert list(groups_of(report)) == ["quality of the picture"]


def test_labels_without_grades_have_no_reading(eye_dicom: bytes, answer: Prediction) -> None:
    other = dataclasses.replace(
        answer,
        probabilities=dict.fromkeys(PERIPHERAL.names, 0.25),
        thresholds=dict.fromkeys(PERIPHERAL.names, 0.5),
        findings=(),
    )
    groups = groups_of(measurement_report(eye_dicom, other, PERIPHERAL))
    assert len(groups) == len(PERIPHERAL) + 1
    assert "reading of the findings" not in groups


# Codes


def test_verified_codes_are_written_and_others_are_marked(
    eye_dicom: bytes, answer: Prediction
) -> None:
    codes = CodeMap(
        labels={
            "PS": Concept("111", "SCT", "made up for this test", verified=True, source="a test"),
            "MA": Concept("222", "SCT", "guessed"),
        },
        grades={str(grade): Concept(f"g{grade}", "SCT", "guessed too") for grade in range(5)},
    )
    groups = groups_of(measurement_report(eye_dicom, answer, PSMM, codes=codes))
    verified, guessed = groups["label PS"].finding_type, groups["label MA"].finding_type
    assert (verified.value, verified.scheme_designator) == ("111", "SCT")
    assert verified.meaning == "made up for this test"
    assert (guessed.value, guessed.scheme_designator) == ("222", "99REALMNET")
    assert guessed.meaning == "guessed (unverified)"


def test_every_private_code_of_a_report_is_marked(report: bytes) -> None:
    document = pydicom.dcmread(BytesIO(report))
    (scheme,) = document.CodingSchemeIdentificationSequence
    assert scheme.CodingSchemeDesignator == "99REALMNET"
    found = [item for item in walk(document) if item.get("CodeValue") and item.get("CodeMeaning")]
    private = [item for item in found if item.CodingSchemeDesignator.startswith("99")]
    assert private
    for item in private:
        assert item.CodeMeaning.endswith(" (unverified)")
    assert any("99REALMNET are private" in text for text in texts_of(document))
    # Whatever is not private is in the dictionary that pydicom makes from PS3.16.
    known = {
        (scheme, value, meaning)
        for scheme in ("DCM", "SCT")
        for entry in concepts[scheme].values()
        for value, (meaning, _) in entry.items()
    }
    written = {(c.CodingSchemeDesignator, c.CodeValue, c.CodeMeaning) for c in found}
    assert {code for code in written if code[0] in {"DCM", "SCT"}} <= known


def walk(dataset: Any) -> Any:  # noqa: ANN401
    """Every item of every sequence, at any depth."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from walk(item)


def test_a_map_for_another_model_is_refused(eye_dicom: bytes, answer: Prediction) -> None:
    for codes, said in (
        (CodeMap(labels={"PCAA": Concept("1", "SCT", "x")}), "did you mean 'PCA'|label 'PCAA'"),
        (CodeMap(grades={"5": Concept("1", "SCT", "x")}), "grade '5'"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            measurement_report(eye_dicom, answer, PSMM, codes=codes)


# Sources


def test_an_answer_of_another_picture_or_model_is_refused(
    eye_dicom: bytes, answer: Prediction, eye: Picture
) -> None:
    with pytest.raises(UsageError, match="another picture"):
        measurement_report(eye_dicom + b"\0", answer, PSMM)
    with pytest.raises(UsageError, match="another picture"):
        heat_map_capture(eye_dicom + b"\0", eye, answer, "PS")
    with pytest.raises(UsageError, match="label set 'peripheral'"):
        measurement_report(eye_dicom, answer, PERIPHERAL)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
def test_a_source_without_uids_is_refused(
    make_eye: MakeEye, eye: Picture, predictor: Predictor, keyword: str
) -> None:
    for value in ("", "1.2.x", "1." * 40 + "1"):
        dataset = make_eye([eye]).dataset()
        setattr(dataset, keyword, value)
        stream = BytesIO()
        dataset.save_as(stream, enforce_file_format=True)
        source = stream.getvalue()
        answer = predictor.predict(source)
        with pytest.raises(UnreadableImage, match="no valid UID"):
            measurement_report(source, answer, PSMM)
