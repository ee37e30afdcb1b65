"""The object a report is about: what its header hands on to the objects written of it.

Patient and study are copied as they are stored, byte for byte and in the same encoding, so that
nothing is interpreted, corrected or complained about on the way.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset

from realmnet_runtime.dicom._elements import Elements, read_elements
from realmnet_runtime.dicom.header import FRAMES, SOP_CLASS
from realmnet_runtime.dicom.syntaxes import IMPLICIT_LITTLE_ENDIAN, coding_of, require_image_class
from realmnet_runtime.errors import UnreadableImage

EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"

CHARACTER_SET: Final = 0x00080005
PATIENT_ORIENTATION: Final = 0x00200020
BURNED_IN: Final = 0x00280301
LOSSY: Final = (0x00282110, 0x00282112, 0x00282114)
_SOP_INSTANCE: Final = 0x00080018
_STUDY: Final = 0x0020000D
_SERIES: Final = 0x0020000E

# Modules Patient, General Study and Patient Study (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2).
_PATIENT_AND_STUDY: Final = (
    CHARACTER_SET,
    0x00080020,  # Study Date
    0x00080030,  # Study Time
    0x00080050,  # Accession Number
    0x00080051,  # Issuer of Accession Number Sequence
    0x00080090,  # Referring Physician's Name
    0x00080201,  # Timezone Offset From UTC
    0x00081030,  # Study Description
    0x00100010,  # Patient's Name
    0x00100020,  # Patient ID
    0x00100021,  # Issuer of Patient ID
    0x00100022,  # Type of Patient ID
    0x00100024,  # Issuer of Patient ID Qualifiers Sequence
    0x00100030,  # Patient's Birth Date
    0x00100032,  # Patient's Birth Time
    0x00100040,  # Patient's Sex
    0x00101002,  # Other Patient IDs Sequence
    0x00101010,  # Patient's Age
    0x00102160,  # Ethnic Group
    0x00104000,  # Patient Comments
    0x00120062,  # Patient Identity Removed
    0x00120063,  # De-identification Method
    0x00120064,  # De-identification Method Code Sequence
    0x00200010,  # Study ID
)
_UID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_LONGEST_UID: Final = 64
# Valid and of nobody: derived UIDs are 39 digits long.
_STAND_INS: Final = {"instance": "2.25.1", "study": "2.25.2", "series": "2.25.3"}
_EMPTY: Final = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """An image object that something is written of.

    Attributes:
        elements: of its patient and study, as stored.
        sop_class: UID.
        sop_instance: UID.
        study: UID.
        series: UID.
        several_frames: it has more than one, so references must name theirs.
    """

    elements: Elements
    sop_class: str
    sop_instance: str
    study: str
    series: str
    several_frames: bool

    @property
    def lossy(self) -> bool:
        """Its pixels come from a coding that loses some."""
        return coding_of(self.elements.transfer_syntax) == "jpeg"

    @property
    def transfer_syntax(self) -> str:
        """Uncompressed, with implicit value representations where the source has them."""
        implicit = self.elements.transfer_syntax == IMPLICIT_LITTLE_ENDIAN
        return IMPLICIT_LITTLE_ENDIAN if implicit else EXPLICIT_LITTLE_ENDIAN

    def stand_in(self) -> Dataset:
        """An object of its class that names nobody: all that highdicom gets to see.

        highdicom logs names it finds fault with, and UIDs of what it copies from.
        """
        dataset = Dataset()
        dataset.SOPClassUID = self.sop_class
        dataset.SOPInstanceUID = _STAND_INS["instance"]
        dataset.StudyInstanceUID = _STAND_INS["study"]
        dataset.SeriesInstanceUID = _STAND_INS["series"]
        for keyword in _EMPTY:
            setattr(dataset, keyword, "")
        return dataset

    def hand_on(self, document: Dataset) -> None:
        """Put the source in the place of its stand-in: patient, study and all references."""
        uids = {
            _STAND_INS["instance"]: self.sop_instance,
            _STAND_INS["study"]: self.study,
            _STAND_INS["series"]: self.series,
        }
        for element in document.iterall():
            if element.VR == "UI" and element.value in uids:
                element.value = uids[element.value]
        if CHARACTER_SET in document:
            del document[CHARACTER_SET]
        self.copy(document, _PATIENT_AND_STUDY)

    def copy(self, document: Dataset, tags: tuple[int, ...]) -> None:
        """Copy those of the elements that the source has."""
        for tag in tags:
            element = self.elements.stored(tag)
            if element is not None:
                document[tag] = element


def read_source(data: bytes) -> Source:
    """Read what is handed on.

    Raises:
        UnreadableImage: damaged, of a kind that is not read, or without the UIDs that a reference
            needs.
    """
    uids = (SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES)
    others = (FRAMES, PATIENT_ORIENTATION, BURNED_IN, *LOSSY)
    elements = read_elements(data, (*uids, *_PATIENT_AND_STUDY, *others))
    sop_class, sop_instance, study, series = (elements.text(tag) for tag in uids)
    require_image_class(sop_class)
    for name, uid in (("SOP instance", sop_instance), ("study", study), ("series", series)):
        if not _UID.fullmatch(uid) or len(uid) > _LONGEST_UID:
            raise UnreadableImage(
                f"DICOM file has no valid UID of its {name}, so nothing can be written that "
                f"refers to it; export it again"
            )
    return Source(
        elements=elements,
        sop_class=sop_class,
        sop_instance=sop_instance,
        study=study,
        series=series,
        several_frames=elements.text(FRAMES) not in {"", "1"},
    )


def derived_uid(*parts: str) -> str:
    """A UID that is the same for the same parts (a name-based UUID; PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, chr(0).join(parts)).int}"


def encoded(document: Dataset) -> bytes:
    """The document as a DICOM file."""
    stream = BytesIO()
    document.save_as(stream, enforce_file_format=True)
    return stream.getvalue()
