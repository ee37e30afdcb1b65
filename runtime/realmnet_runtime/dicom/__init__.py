"""DICOM: pictures of eyes read, structured reports and heat maps written (extra `dicom`).

`docs/dicom.md` says what is read, what is refused and what the written objects hold. pydicom and
highdicom are imported when a DICOM file is first read or written, and only then.

What a header says of a person reaches the written objects, whose patient it is, and nothing else:
no result, no log, no error.
"""

from __future__ import annotations

import importlib
from datetime import datetime
from types import ModuleType
from typing import TYPE_CHECKING, Final, cast

from realmnet_runtime.dicom.concepts import CodeMap
from realmnet_runtime.errors import BackendUnavailable, UsageError
from realmnet_runtime.files import sha256_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from realmnet_runtime.answering.prediction import Prediction
    from realmnet_runtime.dicom.picture import DicomPicture
    from realmnet_runtime.labels import LabelSet

__all__ = [
    "decode_dicom",
    "heat_map_capture",
    "is_dicom",
    "measurement_report",
    "require_writer",
]

_MAGIC: Final = b"DICM"
_MAGIC_BEGINS: Final = 128


def is_dicom(data: bytes) -> bool:
    """Whether the bytes, or the first 132 of them, begin as a DICOM file does (PS3.10 7.1)."""
    return data.startswith(_MAGIC, _MAGIC_BEGINS)


def decode_dicom(
    data: bytes, *, frame: int | None = None, model_size: int | None = None
) -> DicomPicture:
    """Decode one frame of a DICOM file.

    Args:
        data: the whole file.
        frame: number of the frame, from 1; may be left out where there is one.
        model_size: side of the model's input in pixels, for a scaled decode of JPEG frames.

    Raises:
        BackendUnavailable: the extra `dicom` is not installed.
        UnreadableImage: damaged, too large, or of a kind that is not read.
        ImageRefused: several frames, and none was named.
        UsageError: there is no such frame.
    """
    reading = _load("_reading", "read")
    picture = reading.read_picture(data, frame=frame, model_size=model_size)
    return cast("DicomPicture", picture)


def require_writer() -> None:
    """Try, before long work, whether reports can be written.

    Raises:
        BackendUnavailable: the extra `dicom` is not installed.
    """
    _load("_report", "written")


def measurement_report(
    source: bytes,
    prediction: Prediction,
    labels: LabelSet,
    *,
    codes: CodeMap | None = None,
    created: datetime | None = None,
) -> bytes:
    """Write an answer as a Comprehensive 3D SR by template 1500 (PS3.16).

    It holds, for each label, a measurement group with probability, threshold and presence; the
    META-PM reading; the picture's quality; the algorithm; and the notices. Patient and study are
    the source's. It is preliminary and unverified. The same answer of the same picture has the
    same UIDs, so that sending it again adds nothing to an archive.

    Args:
        source: the DICOM file that was answered.
        prediction: its answer; of one that was withheld the report says the quality alone.
        labels: of the model that answered.
        codes: which codes to write; by default the built-in map.
        created: date and time of the document; by default now.

    Returns:
        A DICOM file.

    Raises:
        BackendUnavailable: the extra `dicom` is not installed.
        UnreadableImage: the source cannot be read or has no UIDs to refer to.
        ConfigurationError: the code map names a label that the model does not have.
        UsageError: the answer is of another picture or another model.
    """
    _require_answer_of(source, prediction)
    if tuple(prediction.probabilities) not in {labels.names, ()}:
        raise UsageError(
            f"answer of the labels {', '.join(prediction.probabilities)}, label set "
            f"'{labels.name}' has {', '.join(labels.names)}; give the model's set"
        )
    codes = CodeMap() if codes is None else codes
    codes.require_known(labels)
    report = _load("_report", "written").write_report(
        source,
        prediction,
        labels,
        codes=codes,
        created=created or _now(),
    )
    return cast("bytes", report)


def heat_map_capture(
    source: bytes,
    heat_map: NDArray[np.uint8],
    prediction: Prediction,
    label: str,
    *,
    instance: int = 1,
    created: datetime | None = None,
) -> bytes:
    """Write a heat map as a secondary capture that refers to the picture it was made of.

    Args:
        source: the DICOM file that was answered.
        heat_map: (H, W, 3) uint8 RGB, of any size up to 65,535 pixels a side.
        prediction: the answer.
        label: name of the label whose evidence it shows.
        instance: its number in the series of heat maps, from 1.
        created: date and time of the picture; by default now.

    Returns:
        A DICOM file, uncompressed.

    Raises:
        BackendUnavailable: the extra `dicom` is not installed.
        UnreadableImage: the source cannot be read or has no UIDs to refer to.
        UsageError: an array of another shape or type, an unknown label, an instance below 1, or an
            answer of another picture.
    """
    _require_answer_of(source, prediction)
    capture = _load("_capture", "written").write_capture(
        source, heat_map, prediction, label, instance=instance, created=created or _now()
    )
    return cast("bytes", capture)


def _now() -> datetime:
    """Local time, as DICOM means it where no offset is given."""
    return datetime.now().astimezone().replace(tzinfo=None, microsecond=0)


def _require_answer_of(source: bytes, prediction: Prediction) -> None:
    if sha256_of(source) != prediction.input_sha256:
        raise UsageError("answer of another picture than the DICOM file given; give that picture")


def _load(module: str, verb: str) -> ModuleType:
    try:
        return importlib.import_module(f"{__name__}.{module}")
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f"a DICOM file cannot be {verb} without {error.name}, which is not installed; "
            f"pip install 'realmnet-runtime[dicom]'"
        ) from error
