"""The code map: which code of which terminology each concept of a report is written with.

A code counts as verified where somebody read it in the terminology itself and says where. Every
other concept is written under a private scheme and marked, so that no reader takes a guess for a
code. The built-in map verifies what PS3.16 lists; findings of RealMNet are private.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import msgspec

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.labels import Label, LabelSet
from realmnet_runtime.structs import decode_json
from realmnet_runtime.suggestions import nearest

PRIVATE_SCHEME: Final = "99REALMNET"
UNVERIFIED_MARK: Final = " (unverified)"

_LONGEST_MEANING: Final = 64
# Printable ASCII without the backslash, which separates values: fits every character set.
_PLAIN: Final = re.compile(r"[ -\[\]-~]+")

_ShortString = Annotated[str, msgspec.Meta(min_length=1, max_length=16)]
_LongString = Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_MEANING)]


class Concept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One concept and its code.

    Attributes:
        value: the code, at most 16 characters.
        scheme: designator of its terminology, `SCT` for SNOMED CT, `DCM` for PS3.16.
        meaning: in words, at most 64 characters.
        verified: somebody read the code in the terminology; `source` says where.
        source: document or release in which it was read.
    """

    value: _ShortString
    scheme: _ShortString
    meaning: _LongString
    verified: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        for text in (self.value, self.scheme, self.meaning):
            if not _PLAIN.fullmatch(text) or text != text.strip():
                raise ConfigurationError(
                    f"concept {self.value!a} has {text!a}; printable ASCII without backslash and "
                    f"without space at its ends is needed"
                )
        if self.verified and not self.source.strip():
            raise ConfigurationError(
                f"concept '{self.value}' is verified without a source; say where it was read, or "
                f"leave verified out"
            )
        if self.verified and self.scheme.startswith("99"):
            raise ConfigurationError(
                f"concept '{self.value}' is verified in the private scheme '{self.scheme}'; "
                f"nobody can look it up there: leave verified out"
            )

    def as_written(self) -> Concept:
        """The concept as documents hold it: unverified ones private, and marked."""
        if self.verified:
            return self
        room = _LONGEST_MEANING - len(UNVERIFIED_MARK)
        meaning = self.meaning[:room].rstrip() + UNVERIFIED_MARK
        return msgspec.structs.replace(self, scheme=PRIVATE_SCHEME, meaning=meaning)


def _standard(value: str, scheme: str, meaning: str) -> Concept:
    source = "DICOM PS3.16, as in the dictionary of pydicom 3.0"
    return Concept(value, scheme, meaning, verified=True, source=source)


def _own(value: str, meaning: str) -> Concept:
    return Concept(value, PRIVATE_SCHEME, meaning)


class Terms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The concepts that are no label of a model."""

    procedure: Concept = _standard("363679005", "SCT", "Imaging procedure")
    site: Concept = _standard("5665001", "SCT", "Retina")
    right: Concept = _standard("24028007", "SCT", "Right")
    left: Concept = _standard("7771000", "SCT", "Left")
    both: Concept = _standard("51440002", "SCT", "Bilateral")
    presence: Concept = _standard("121052", "DCM", "Presence of property")
    present: Concept = _standard("52101004", "SCT", "Present")
    absent: Concept = _standard("272519000", "SCT", "Absent")
    undetermined: Concept = _standard("121059", "DCM", "Presence Undetermined")
    quality: Concept = _standard("111101", "DCM", "Image Quality")
    gradable: Concept = _own("gradable", "gradable")
    ungradable: Concept = _own("ungradable", "not gradable")
    probability: Concept = _own("probability", "probability of presence")
    threshold: Concept = _own("threshold", "least probability of a finding")
    grade: Concept = _own("META-PM", "META-PM category of myopic maculopathy")
    pathologic_myopia: Concept = _own("pathologic-myop", "pathologic myopia")
    undecided: Concept = _own("undecided", "undecided")


class CodeMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Codes of a model's labels and grades, and of everything else a report says.

    Attributes:
        labels: by label name; labels that are not there are written with their own names.
        grades: by META-PM category, `0` to `4`; the same.
        terms: the rest.
    """

    labels: dict[str, Concept] = {}
    grades: dict[str, Concept] = {}
    terms: Terms = Terms()

    def require_known(self, labels: LabelSet) -> None:
        """Refuse a map for labels or grades that the model does not have.

        Raises:
            ConfigurationError: it names another label or grade.
        """
        grades = [str(grade) for grade in range(len(labels.grades))]
        for kind, mapped, known in (
            ("label", self.labels, list(labels.names)),
            ("grade", self.grades, grades),
        ):
            for name in mapped:
                if name not in known:
                    raise ConfigurationError(
                        f"code map has the {kind} '{name}'; the model has "
                        f"{', '.join(known) or 'none'}{nearest(name, known)}"
                    )

    def label(self, label: Label) -> Concept:
        """The concept of a label."""
        return self.labels.get(label.name) or _own(
            label.name if len(label.name) <= 16 else label.code[:16],
            label.meaning[:_LONGEST_MEANING],
        )

    def grade(self, grade: int) -> Concept:
        """The concept of a META-PM category."""
        return self.grades.get(str(grade)) or _own(f"META-PM-{grade}", f"META-PM category {grade}")


def read_code_map(path: str | Path) -> CodeMap:
    """Read a code map from JSON.

    Raises:
        MissingPath: no such file.
        ConfigurationError: an unknown key, a wrong type or an impossible concept.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise MissingPath(
            f"cannot read code map '{path}': {error.strerror}; name a JSON file"
        ) from error
    return decode_json(raw, CodeMap, str(path))
