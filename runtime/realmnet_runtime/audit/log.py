"""Appending to the audit log: durable, whole or recognisably torn, safe between processes."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.audit.records import (
    END_OF_REMAINS,
    HEADER_BEGINS,
    LARGEST_LINE_BYTES,
    NOTHING_BEFORE,
    SCHEMA_VERSION,
    Answer,
    Closing,
    Header,
    Record,
    Refusal,
    is_remains,
    open_line,
    seal,
)
from realmnet_runtime.clock import utc_now
from realmnet_runtime.errors import IntegrityError, OutputError, RealmnetError, UsageError
from realmnet_runtime.files import cannot_write, sha256_of, sync_directory
from realmnet_runtime.locks import locked

_LARGEST_HEADER_BYTES: Final = 512
_FIRST_LOOK_BYTES: Final = 1 << 15
_LAST_LOOK_BYTES: Final = 1 << 24
_DIGEST: Final = re.compile("[0-9a-f]{64}")

Make = Callable[[str, int], Record]
"""From the digest of what came before, and a number, to a record."""


class AuditLog:
    """A log that is appended to; any number of threads and processes may have it open.

    Every append locks the file, reads its end, writes one line and waits until the disk has it.
    What a power cut left of a line is set aside by the next append: it stays where it is, marked.

    Args:
        path: begun with a header where it is not there.

    Raises:
        IntegrityError: a file is there whose end is no audit log's.
        IncompatibleError: the log has a schema version this runtime does not write.
        UsageError: another file continues the log.
        OutputError: it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with _opened(self.path) as descriptor:
            _begin(descriptor, self.path, NOTHING_BEFORE, 0)

    def append(self, prediction: Prediction) -> str:
        """Record an answer.

        Returns:
            The digest of its line, the head of the chain: noted elsewhere, it shows later whether
            the log was cut (`verify_logs`).

        Raises:
            IntegrityError, IncompatibleError, UsageError, OutputError: as the class.
        """
        said = prediction.to_dict()
        # By name: what else an answer says, now or later, might name a file.
        answer = {name: said[name] for name in Answer.AUDITED if name in said}
        return self._append(lambda previous, number: Answer(previous, number, utc_now(), answer))

    def append_refusal(self, input_sha256: str | None, error: RealmnetError) -> str:
        """Record that a picture was not answered.

        Args:
            input_sha256: of its bytes; None where they could not be read.
            error: why; its class and exit code are recorded, its message is not.

        Returns:
            As `append`.

        Raises:
            UsageError: the digest is none.
            IntegrityError, IncompatibleError, OutputError: as the class.
        """
        if input_sha256 is not None and not _DIGEST.fullmatch(input_sha256):
            raise UsageError("a refusal was given no SHA-256 in hex; a log names pictures by it")
        kind, code = type(error).__name__, error.exit_code
        return self._append(
            lambda previous, number: Refusal(previous, number, utc_now(), input_sha256, kind, code)
        )

    def _append(self, make: Make) -> str:
        with _opened(self.path) as descriptor:
            end = _begin(descriptor, self.path, NOTHING_BEFORE, 0)
            return _write(descriptor, self.path, end, make)


def rotate(old: str | os.PathLike[str], new: str | os.PathLike[str]) -> str:
    """Close a log and begin the file that continues it; again after any stop, it goes on.

    Args:
        old: log; closed, unless it is already.
        new: file; it must not be there, or be the beginning of this log's continuation.

    Returns:
        The digest of the old file's last line, which the new one's header holds.

    Raises:
        UsageError: the new file is there and continues another log, or none.
        IntegrityError, IncompatibleError, OutputError: as `AuditLog`.
    """
    first, second = Path(old), Path(new)
    if not first.is_file():
        raise UsageError(f"no audit log '{first}' to continue; check the path")
    with _opened(first) as descriptor:
        end = _end(descriptor, first)
        if end is None:
            _refuse(first)
        if isinstance(end.record, Closing):
            head, number = end.line_digest, end.record.number
        else:
            number = end.record.number + 1
            head = _write(
                descriptor, first, end, lambda previous, n: Closing(previous, n, utc_now())
            )
        with _opened(second) as beside:
            begun = _begin(beside, second, head, number + 1)
            if not isinstance(begun.record, Header) or begun.record.previous != head:
                raise UsageError(f"'{second}' is there already; name a new file")
    return head


class _End(msgspec.Struct, frozen=True):
    """Where a log ends.

    Attributes:
        record: the last one.
        line_digest: of its line.
        previous: digest for the next record.
        torn: whether remains without a line's end follow, which the next record sets aside.
    """

    record: Record
    line_digest: str
    previous: str
    torn: bool


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The log, open for appending and locked."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OutputError(f"cannot write '{path}': it is not a regular file; name a file")
        with locked(descriptor, path):
            yield descriptor
    finally:
        os.close(descriptor)


def _begin(descriptor: int, path: Path, previous: str, number: int) -> _End:
    """The end of the log, after writing its header where the file holds none yet."""
    end = _end(descriptor, path)
    if end is not None:
        return end
    line = seal(Header(previous, number, utc_now(), SCHEMA_VERSION))
    try:
        # What a power cut left of a header says nothing that is lost.
        os.ftruncate(descriptor, 0)
        _write_all(descriptor, line)
        sync_directory(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    return _last_record(line, path, whole=True) or _refuse(path)


def _write(descriptor: int, path: Path, end: _End, make: Make) -> str:
    if isinstance(end.record, Closing):
        raise UsageError(f"audit log '{path}' is closed: another file continues it; name that one")
    line = seal(make(end.previous, end.record.number + 1))
    if len(line) > LARGEST_LINE_BYTES:
        raise UsageError(
            f"record of {len(line)} bytes; {LARGEST_LINE_BYTES} are allowed in an audit log"
        )
    try:
        _write_all(descriptor, END_OF_REMAINS + line if end.torn else line)
    except OSError as error:
        raise cannot_write(path, error) from error
    return sha256_of(line)


def _write_all(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
    os.fsync(descriptor)


def _end(descriptor: int, path: Path) -> _End | None:
    """Where the log ends; None where it holds no more than a part of its header.

    Raises:
        IntegrityError: the file ends otherwise than an audit log.
    """
    try:
        size = os.fstat(descriptor).st_size
        look = _FIRST_LOOK_BYTES
        while True:
            start = max(0, size - look)
            data = _read_all(descriptor, start, size - start)
            if start == 0 and _is_torn_header(data):
                return None
            found = _last_record(data, path, whole=start == 0)
            if found is not None:
                return found
            if start == 0 or look >= _LAST_LOOK_BYTES:
                _refuse(path)
            look *= 8
    except OSError as error:
        raise cannot_write(path, error) from error


def _read_all(descriptor: int, start: int, size: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    pieces = []
    while size > 0 and (piece := os.read(descriptor, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _is_torn_header(data: bytes) -> bool:
    if len(data) > _LARGEST_HEADER_BYTES or b"\n" in data:
        return False
    begins = data.startswith(HEADER_BEGINS) or HEADER_BEGINS.startswith(data)
    return begins or not data.strip(b"\0")


def _last_record(data: bytes, path: Path, *, whole: bool) -> _End | None:
    """The last record among a file's last bytes; None where they hold no whole line of one."""
    stop = data.rfind(b"\n") + 1
    torn = stop < len(data)
    while stop > 0:
        start = data.rfind(b"\n", 0, stop - 1) + 1
        if start == 0 and not whole:
            return None
        line = data[start:stop]
        if not is_remains(line):
            record = open_line(line)
            if record is None:
                _refuse(path)
            since = data[start:] + (END_OF_REMAINS if torn else b"")
            return _End(record, sha256_of(line), sha256_of(since), torn)
        stop = start
    return None


def _refuse(path: Path) -> NoReturn:
    raise IntegrityError(
        f"'{path}' does not end as an audit log does; keep it as it is, see `realmnet audit "
        f"verify`, and name another file"
    )
