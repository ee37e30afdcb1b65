"""Reading an audit log line by line, and saying where its chain breaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec

from realmnet_runtime.audit.records import (
    LARGEST_LINE_BYTES,
    NOTHING_BEFORE,
    Answer,
    Closing,
    Header,
    Record,
    Refusal,
    is_remains,
    open_line,
)
from realmnet_runtime.errors import IntegrityError, MissingPath, UsageError
from realmnet_runtime.files import sha256_of


class AuditReport(msgspec.Struct, frozen=True):
    """A chain that holds, over one file or several that continue each other.

    Attributes:
        files: how many.
        records: headers and closings among them.
        answers: pictures answered.
        refusals: pictures or runs refused.
        head: digest of the last record's line; 64 zeros where there is none.
        continues: head of the log that the first file continues; None where it continues none.
        set_aside: lines that power cuts tore, followed by records that vouch for them.
        torn_bytes: at the end of the last file, which no record vouches for: what a power cut
            leaves of a line. The next append sets them aside.
        noted_at: line at which the digest lies that was noted elsewhere; None where none was given.
    """

    files: int
    records: int
    answers: int
    refusals: int
    head: str
    continues: str | None
    set_aside: int
    torn_bytes: int
    noted_at: int | None


def verify_logs(paths: Iterable[Path], expect: str | None = None) -> AuditReport:
    """Check every line; memory does not grow with the log.

    That lines are missing at the end cannot be seen from the log alone. A head that was noted
    elsewhere shows it: it must be the digest of some line, since the log may have grown since.

    Args:
        paths: the log's files, oldest first.
        expect: digest of a line that must be there; 64 hex digits.

    Raises:
        IntegrityError: the chain is broken, at the line that is named; or no line has the digest.
        IncompatibleError: a file has a schema version this runtime does not read.
        MissingPath: a file is not there.
        UsageError: no file was given.
    """
    chain = _Chain(expect)
    last: Path | None = None
    for path in paths:
        chain.read(path, follows=last)
        last = path
    if last is None:
        raise UsageError("no audit log was named; name its files, oldest first")
    if expect is not None and chain.noted_at is None:
        raise IntegrityError(
            f"audit log '{last}' has no line with the digest {expect}: it was cut or rewritten "
            f"since that was noted; keep the file and look for the copy it came from"
        )
    return AuditReport(
        files=chain.files,
        records=chain.records,
        answers=chain.answers,
        refusals=chain.refusals,
        head=chain.head,
        continues=chain.continues,
        set_aside=chain.set_aside,
        torn_bytes=chain.torn_bytes,
        noted_at=chain.noted_at,
    )


class _Chain:
    """What is known of the lines read so far."""

    def __init__(self, expect: str | None) -> None:
        self.files = self.records = self.answers = self.refusals = 0
        self.set_aside = self.torn_bytes = 0
        self.head = NOTHING_BEFORE
        self.continues: str | None = None
        self.noted_at: int | None = None
        self._expect = expect
        self._last: Record | None = None
        self._since = hashlib.sha256()

    def read(self, path: Path, follows: Path | None) -> None:
        """Check one file, and that it continues the one before."""
        if self.torn_bytes:
            raise IntegrityError(
                f"audit log '{follows}' ends in the middle of a line, and '{path}' is said to "
                f"continue it; name the files of one log, oldest first"
            )
        self.files += 1
        begun = False
        remains: list[int] = []
        for at, line in _lines(path):
            if not line.endswith(b"\n") or (begun and is_remains(line)):
                self._since.update(line)
                self.torn_bytes += len(line)
                remains.append(at)
                continue
            record = open_line(line)
            if record is None:
                _broken(path, at, "it is no record, or not the one that was written")
            if not begun:
                self._begin(path, record, follows)
                begun = True
            else:
                self._continue(path, at, record, suspect=min([*remains, at]))
            self.set_aside += len(remains)
            self.torn_bytes = 0
            remains.clear()
            self._count(record, line, at)
        if not begun and not self.torn_bytes:
            _broken(path, 1, "there is none, and a header was expected")

    def _begin(self, path: Path, record: Record, follows: Path | None) -> None:
        if not isinstance(record, Header):
            _broken(path, 1, "it is no header, with which a log begins")
        if follows is None:
            self.continues = None if record.previous == NOTHING_BEFORE else record.previous
            if record.previous == self._expect:
                self.noted_at = 1
        elif (
            not isinstance(self._last, Closing)
            or record.previous != self.head
            or record.number != self._last.number + 1
        ):
            _broken(path, 1, f"it does not continue '{follows}'")

    def _continue(self, path: Path, at: int, record: Record, suspect: int) -> None:
        if isinstance(record, Header) or isinstance(self._last, Closing):
            _broken(path, at, "a log has one header, and nothing after it was closed")
        if record.previous != self._since.hexdigest():
            _broken(
                path,
                suspect,
                "it does not hold the digest of what stands before it: lines were removed, added "
                "or exchanged here, or the one before was rewritten",
            )
        if self._last is None or record.number != self._last.number + 1:
            _broken(path, at, f"it is record {record.number}, which does not follow")

    def _count(self, record: Record, line: bytes, at: int) -> None:
        self._last = record
        self._since = hashlib.sha256(line)
        self.head = sha256_of(line)
        self.records += 1
        self.answers += isinstance(record, Answer)
        self.refusals += isinstance(record, Refusal)
        if self.head == self._expect:
            self.noted_at = at


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each line, the last perhaps without its end."""
    try:
        with path.open("rb") as file:
            at = 0
            while line := file.readline(LARGEST_LINE_BYTES + 1):
                at += 1
                if len(line) > LARGEST_LINE_BYTES:
                    _broken(path, at, f"it is longer than {LARGEST_LINE_BYTES} bytes")
                yield at, line
    except OSError as error:
        raise MissingPath(
            f"audit log '{path}' cannot be read: {error.strerror}; check the path"
        ) from error


def _broken(path: Path, at: int, fault: str) -> NoReturn:
    raise IntegrityError(
        f"audit log '{path}' is broken at line {at}: {fault}; the lines before it hold"
    )
