"""One line of the audit log: a JSON object that ends in the digest of itself.

`{"kind":...,"previous":...,"number":...,"time":..., ... ,"sha256":...}` and a line feed. `previous`
is the SHA-256 of every byte from the start of the record before to the start of this line, which is
that record's line unless a power cut left remains between the two. `sha256`, always last, is the
digest of the line's bytes before the comma in front of it.

What a power cut left of a line is closed with the control character RS (as RFC 7464 resumes a
sequence) and stays where it is; no record can contain that character, nor NUL.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Final, TypeAlias

import msgspec

from realmnet_runtime.bundles.manifest import Digest
from realmnet_runtime.errors import ConfigurationError, IncompatibleError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.structs import decode_json

SCHEMA_VERSION: Final = 1
LARGEST_LINE_BYTES: Final = 1 << 18
NOTHING_BEFORE: Final = "0" * 64
"""`previous` of the header of a log that continues none."""

END_OF_REMAINS: Final = b"\x1e\n"
HEADER_BEGINS: Final = b'{"kind":"header"'

_SEAL: Final = re.compile(rb'(?s)(?P<body>\{.*),"sha256":"(?P<digest>[0-9a-f]{64})"\}\n')

Number = Annotated[int, msgspec.Meta(ge=0)]
Word = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]+$", max_length=64)]


class Header(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="header"
):
    """First record of a file; `previous` is the head of the file it continues."""

    previous: Digest
    number: Number
    time: str
    schema_version: int


class Answer(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="answer"
):
    """A picture that was answered: what `Prediction.to_dict` says under the names of `AUDITED`."""

    AUDITED: ClassVar[tuple[str, ...]] = (
        "input",
        "probabilities",
        "thresholds",
        "findings",
        "grade",
        "staphyloma",
        "pathologic_myopia",
        "inconsistencies",
        "quality",
        "field_of_view",
        "model",
        "bundle_sha256",
        "spec_version",
        "engine",
        "engine_version",
        "variant",
        "precision",
        "threads",
        "time",
    )

    previous: Digest
    number: Number
    time: str
    answer: dict[str, Any]


class Refusal(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="refusal"
):
    """A picture, or a whole run, that was not answered; messages may name files and stay out.

    Attributes:
        previous: digest of what came before.
        number: of the record.
        time: when.
        input_sha256: of the picture; None where there was none, or it could not be read.
        error: class of `realmnet_runtime.errors`.
        exit_code: of that class.
    """

    previous: Digest
    number: Number
    time: str
    input_sha256: Digest | None
    error: Word
    exit_code: Annotated[int, msgspec.Meta(ge=1, le=255)]


class Closing(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="closing"
):
    """Last record of a file that another continues; nothing may follow it."""

    previous: Digest
    number: Number
    time: str


Record: TypeAlias = Header | Answer | Refusal | Closing

# A union is no type to a type checker.
_ANY: Final[Any] = Record


def seal(record: Record) -> bytes:
    """The line of a record."""
    body = msgspec.json.encode(record)[:-1]
    return body + f',"sha256":"{sha256_of(body)}"}}\n'.encode()


def open_line(line: bytes) -> Record | None:
    """The record of a line; None where the line is no record, or is not what its digest says.

    Raises:
        IncompatibleError: a header of another schema version.
    """
    found = _SEAL.fullmatch(line)
    if found is None or sha256_of(found["body"]) != found["digest"].decode():
        return None
    content = found["body"] + b"}"
    try:
        if line.startswith(HEADER_BEGINS):
            version = decode_json(content, _Version, "header").schema_version
            if version != SCHEMA_VERSION:
                raise IncompatibleError(
                    f"audit log has schema {version}; this runtime reads schema {SCHEMA_VERSION}; "
                    f"install the runtime that wrote it"
                )
        record: Record = decode_json(content, _ANY, "record")
    except ConfigurationError:
        return None
    return record


def is_remains(line: bytes) -> bool:
    """Whether a line is what a power cut left, set aside by the record after it."""
    return line.endswith(END_OF_REMAINS) or b"\0" in line


class _Version(msgspec.Struct):
    schema_version: int
