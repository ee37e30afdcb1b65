"""What the file name of an image says: patient, source, eye and date of the examination.

The released names have four forms and some irregular ones (`<n>` numbers the picture):

    ShenzhenEye-<7 digits>_<OD|OS|OU>_<YYYY-MM-DD>_<n>.jpg
    SUSTech-<patient>_<n>.jpg
    LishuiR-<6 characters>_<YYYYMMDD>@<HHMMSS>_<L|R><n>.jpg     and LishuiZ-...
    Zhongshan-<patient>_<n>_<OD|OS><k>.jpg

A name is read for what it states beyond doubt; all else stays unknown. So `Zhongshan-1_23_11_8_OS4`
has no date, a date that no calendar has is none, and two that differ are none. Names are personal
data: `repr` shows what is known, never the values.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Eye = Literal["OD", "OS"]

UNKNOWN_SOURCE: Final = "unknown"

_EYE: Final = re.compile(r"(?:^|[_@-])(?P<eye>OD|OS|OU|L|R)\d*(?=[_.]|$)", re.ASCII)
_EYES: Final[dict[str, Eye]] = {"OD": "OD", "R": "OD", "OS": "OS", "L": "OS"}
_DATE: Final = re.compile(
    r"(?:^|_)(?:(\d{4})-(\d{2})-(\d{2})|(\d{4})(\d{2})(\d{2})@\d{6})(?=[_.]|$)", re.ASCII
)
_NUMBER: Final = re.compile(r"\d{3}")
_FIRST_YEAR: Final = 1980
"""Digital retinal cameras are younger; an earlier year is a slip or a placeholder."""


@dataclass(frozen=True, repr=False)
class FileName:
    """What one file name states.

    Attributes:
        patient: the name up to its first `_`; None where there is none.
        source: the patient up to its first `-`, else `unknown`.
        eye: `OD` (right) or `OS` (left); None for `OU`, for both, and where no eye is stated.
        date: of the examination; None where no date, or more than one, is stated.
    """

    patient: str | None
    source: str
    eye: Eye | None
    date: dt.date | None

    def __repr__(self) -> str:
        known = (name for name in ("patient", "eye", "date") if getattr(self, name) is not None)
        return f"FileName(source {self.source!r}, known: {', '.join(known) or 'nothing'})"


def parse_file_name(file: str) -> FileName:
    """Read a file name, with or without its suffix; any text is answered."""
    patient, underscore, _ = file.partition("_")
    known = patient if underscore and patient else None
    return FileName(known, source_of(known or ""), eye_of(file), date_of(file))


def source_of(patient: str) -> str:
    """Where a patient comes from: the identifier up to its first `-`, else `unknown`.

    A beginning with three digits in a row is a number and no place; reports print sources.
    """
    source, dash, _ = patient.partition("-")
    return source if dash and source and not _NUMBER.search(source) else UNKNOWN_SOURCE


def eye_of(file: str) -> Eye | None:
    """The eye a file name states by OD, OS, L or R after the patient; None where it does not.

    `OU` (both eyes) and a name with two different eyes state none.
    """
    _, _, rest = file.partition("_")
    stated: set[Eye | None] = {_EYES.get(match["eye"]) for match in _EYE.finditer(rest)}
    return stated.pop() if len(stated) == 1 else None


def date_of(file: str) -> dt.date | None:
    """The date a file name states after the patient; None where it states none or several."""
    _, _, rest = file.partition("_")
    stated = set(_dates(rest))
    return stated.pop() if len(stated) == 1 else None


def exam_key(patient: str, date: dt.date | None) -> str | None:
    """A key that the pictures of one patient and day share; None where the day is unknown.

    The key shows neither, so that rows can be grouped without handling dates. It is a pseudonym
    and no more: whoever can list patients and dates can make it again, so it is not published.

    Returns:
        16 lower-case hex digits.
    """
    if date is None:
        return None
    return hashlib.sha256(f"{patient}\0{date.isoformat()}".encode()).hexdigest()[:16]


def _dates(text: str) -> Iterator[dt.date]:
    for match in _DATE.finditer(text):
        year, month, day = (int(part) for part in match.groups() if part is not None)
        try:
            date = dt.date(year, month, day)
        except ValueError:
            continue
        if year >= _FIRST_YEAR:
            yield date
