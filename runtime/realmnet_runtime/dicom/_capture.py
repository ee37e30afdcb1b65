"""A heat map as a secondary capture, made with highdicom."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
from highdicom.sc import SCImage
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes as standard

from realmnet_runtime._version import __version__
from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.dicom._source import (
    BURNED_IN,
    LOSSY,
    PATIENT_ORIENTATION,
    Source,
    derived_uid,
    encoded,
    read_source,
)
from realmnet_runtime.dicom.notices import MANUFACTURER, RESEARCH_USE, plain
from realmnet_runtime.errors import UsageError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.pictures.images import require_rgb
from realmnet_runtime.suggestions import nearest

_SERIES_NUMBER: Final = 7002
_LONGEST_SIDE: Final = 65535
_LONGEST_DESCRIPTION: Final = 64
_LONGEST_DERIVATION: Final = 1024
_EYES: Final = {"right": "R", "left": "L", "both": "B"}


def write_capture(
    data: bytes,
    heat_map: NDArray[np.uint8],
    prediction: Prediction,
    label: str,
    *,
    instance: int,
    created: datetime,
) -> bytes:
    """See `realmnet_runtime.dicom.heat_map_capture`."""
    _require_writable(heat_map, prediction, label, instance)
    source = read_source(data)
    blank = source.stand_in()
    image = SCImage(
        pixel_array=heat_map,
        photometric_interpretation="RGB",
        bits_allocated=8,
        # The standard leaves the orientation open where nobody knows it; highdicom does not.
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        study_instance_uid=blank.StudyInstanceUID,
        series_instance_uid=derived_uid("heat maps", source.study, prediction.bundle_sha256),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=derived_uid(
            "heat map",
            source.sop_instance,
            str(prediction.frame),
            prediction.bundle_sha256,
            prediction.variant,
            label,
            f"{heat_map.shape[1]} x {heat_map.shape[0]}",
            sha256_of(heat_map.tobytes()),
        ),
        instance_number=instance,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=plain(prediction.model)[:_LONGEST_DESCRIPTION],
        device_serial_number=prediction.bundle_sha256,
        software_versions=f"realmnet-runtime {__version__}",
        series_description="RealMNet heat maps, research use only",
        patient_id="",
        patient_name=blank.PatientName,
        patient_birth_date="",
        patient_sex="",
        accession_number="",
        study_id="",
        study_date="",
        study_time="",
        referring_physician_name=blank.ReferringPhysicianName,
        transfer_syntax_uid=source.transfer_syntax,
        content_date=created.date(),
        content_time=created.time(),
    )
    image.DateOfSecondaryCapture = image.ContentDate
    image.TimeOfSecondaryCapture = image.ContentTime
    _describe(image, prediction, label)
    _refer(image, source, prediction)
    source.hand_on(image)
    image.PatientOrientation = []
    image.BurnedInAnnotation = "NO"
    if source.lossy:
        image.LossyImageCompression = "01"
    source.copy(image, (PATIENT_ORIENTATION, BURNED_IN, *LOSSY))
    return encoded(image)


def _require_writable(
    heat_map: NDArray[np.uint8], prediction: Prediction, label: str, instance: int
) -> None:
    require_rgb(heat_map)
    if max(heat_map.shape) > _LONGEST_SIDE:
        raise UsageError(
            f"heat map of {heat_map.shape[1]} x {heat_map.shape[0]} pixels; DICOM holds at most "
            f"{_LONGEST_SIDE} a side; make it smaller"
        )
    if label not in prediction.probabilities:
        raise UsageError(
            f"heat map of the label '{label}'; the answer has "
            f"{', '.join(prediction.probabilities)}{nearest(label, prediction.probabilities)}"
        )
    if instance < 1:
        raise UsageError(f"instance {instance} of a series; they are counted from 1")


def _describe(image: SCImage, prediction: Prediction, label: str) -> None:
    """What the picture is, and what it must not be taken for."""
    told = plain(
        f"Heat map of the label {label}: where the network saw evidence for it; no outline of a "
        f"lesion. {RESEARCH_USE} {prediction.notice}"
    )
    image.DerivationDescription = told[:_LONGEST_DERIVATION]
    image.ImageComments = told
    if eye := _EYES.get(prediction.laterality):
        image.ImageLaterality = eye
    else:
        # Of a paired organ the series must say its side, if only that it is not known.
        image.Laterality = ""


def _refer(image: SCImage, source: Source, prediction: Prediction) -> None:
    """Name the picture the heat map was made of."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = source.sop_class
    reference.ReferencedSOPInstanceUID = source.sop_instance
    if source.several_frames:
        reference.ReferencedFrameNumber = prediction.frame
    reference.PurposeOfReferenceCodeSequence = [
        CodedConcept.from_code(standard.DCM.SourceImageForImageProcessingOperation)
    ]
    image.SourceImageSequence = [reference]
