"""What a request is told: a status, and JSON in the shape of `realmnet predict --json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from realmnet_runtime.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    ImageRefused,
    RealmnetError,
    UsageError,
)

DeclinedKind = Literal[
    "BadRequest",
    "ForeignPage",
    "NoSuchPath",
    "WrongMethod",
    "UploadTooSlow",
    "BodyTooLarge",
    "CodedBody",
    "UnknownHost",
    "Busy",
]

_DECLINED: Final[dict[DeclinedKind, int]] = {
    "BadRequest": 400,
    "ForeignPage": 403,
    "NoSuchPath": 404,
    "WrongMethod": 405,
    "UploadTooSlow": 408,
    "BodyTooLarge": 413,
    "CodedBody": 415,
    "UnknownHost": 421,
    "Busy": 503,
}
_OUTCOMES: Final = {
    408: "upload_too_slow",
    413: "too_large",
    422: "refused",
    503: "busy",
    504: "deadline",
}

OUTCOMES: Final = ("answered", "ungradable", *_OUTCOMES.values(), "bad_request", "failed", "gone")
"""What becomes of a request, for the metrics."""


class Declined(UsageError):  # noqa: N818 - the service declines; nothing failed
    """A request that the service does not take on; `kind` says why, the message is one line."""

    def __init__(self, kind: DeclinedKind, message: str) -> None:
        super().__init__(message)
        self.kind: DeclinedKind = kind


@dataclass(frozen=True)
class Reply:
    """A status and the JSON that goes with it.

    Attributes:
        status: of HTTP.
        content: UTF-8 JSON, one object and a line feed.
        outcome: one of `OUTCOMES`.
    """

    status: int
    content: bytes
    outcome: str


def answer_reply(said: dict[str, Any], *, withheld: bool) -> Reply:
    """An answer; that a picture is ungradable is one."""
    return Reply(200, _json(said), "ungradable" if withheld else "answered")


def error_reply(error: RealmnetError, sha256: str | None = None) -> Reply:
    """Why there is no answer, as `refused_answer` has it.

    Args:
        error: its message names no file.
        sha256: of the picture; None where none was read.
    """
    kind = error.kind if isinstance(error, Declined) else type(error).__name__
    return _failure(_status(error), kind, error.exit_code, str(error), sha256)


def unforeseen_reply(error: Exception) -> Reply:
    """Something nobody foresaw: told by its class alone, since its words may hold anything."""
    message = f"unexpected {type(error).__name__}; the service goes on, its operator was told"
    return _failure(500, "Unforeseen", RealmnetError.exit_code, message, None)


def _status(error: RealmnetError) -> int:
    if isinstance(error, Declined):
        return _DECLINED[error.kind]
    for kind, status in (
        (ImageRefused, 422),
        (UsageError, 400),
        (DeadlineExceeded, 504),
        # A DICOM file, where the extra `dicom` is absent.
        (BackendUnavailable, 501),
    ):
        if isinstance(error, kind):
            return status
    return 500


def _failure(status: int, kind: str, exit_code: int, message: str, sha256: str | None) -> Reply:
    said = {
        "input": {"sha256": sha256},
        "error": {"kind": kind, "exit_code": exit_code, "message": " ".join(message.split())},
    }
    outcome = _OUTCOMES.get(status, "bad_request" if status < 500 else "failed")
    return Reply(status, _json(said), outcome)


def _json(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"
