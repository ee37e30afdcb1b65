"""Laws of the chain: whatever is done to a line is found at that line."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realmnet_runtime import Prediction
from realmnet_runtime.audit import AuditLog, AuditReport, rotate, verify_logs
from realmnet_runtime.audit.records import (
    LARGEST_LINE_BYTES,
    Header,
    Refusal,
    open_line,
    seal,
)
from realmnet_runtime.errors import IncompatibleError, IntegrityError, MissingPath, UsageError

Write = Callable[[bytes], Path]
LINES = 6
NAMED = (
    '{"kind":"refusal","previous":"%s","number":1,"time":"t","input_sha256":"x.jpg",'
    '"error":"NoFieldOfView","exit_code":7'
)
in_one_place = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def broken_at(path: Path, expect: str | None = None) -> int:
    """The line that verification names."""
    with pytest.raises(IntegrityError, match="is broken at line") as caught:
        verify_logs([path], expect)
    assert caught.value.exit_code == 5
    assert "\n" not in str(caught.value)
    found = re.search(r"broken at line (\d+)", str(caught.value))
    assert found is not None
    return int(found[1])


def split(content: bytes) -> list[bytes]:
    lines = content.splitlines(keepends=True)
    assert len(lines) == LINES
    return lines


def digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def test_a_whole_log_holds(log_bytes: bytes, write_log: Write) -> None:
    assert verify_logs([write_log(log_bytes)]) == AuditReport(
        files=1,
        records=LINES,
        answers=2,
        refusals=3,
        head=digest(split(log_bytes)[-1]),
        continues=None,
        set_aside=0,
        torn_bytes=0,
        noted_at=None,
    )


def test_the_format_is_what_the_page_says(log_bytes: bytes) -> None:
    """By json and hashlib alone."""
    before = "0" * 64
    for number, line in enumerate(split(log_bytes)):
        said = json.loads(line)
        assert said["previous"] == before
        assert said["number"] == number
        body, _, rest = line.rpartition(b',"sha256":"')
        assert rest == said["sha256"].encode() + b'"}\n'
        assert said["sha256"] == hashlib.sha256(body).hexdigest()
        before = hashlib.sha256(line).hexdigest()


def test_a_line_is_the_same_bytes_for_ever() -> None:
    record = Refusal("0" * 64, 1, "2026-01-31T09:05:07.012Z", None, "NoFieldOfView", 7)
    body = (
        b'{"kind":"refusal","previous":"' + b"0" * 64 + b'","number":1,'
        b'"time":"2026-01-31T09:05:07.012Z","input_sha256":null,"error":"NoFieldOfView",'
        b'"exit_code":7'
    )
    line = body + b',"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'
    assert seal(record) == line
    assert open_line(line) == record


@in_one_place
@given(data=st.data())
def test_an_altered_byte_is_found_at_its_line(
    data: st.DataObject, log_bytes: bytes, write_log: Write
) -> None:
    at = data.draw(st.integers(0, len(log_bytes) - 1))
    spoilt = bytearray(log_bytes)
    spoilt[at] ^= data.draw(st.integers(1, 255))
    line = log_bytes[:at].count(b"\n") + 1
    path = write_log(bytes(spoilt))
    # What no line follows looks as what a power cut leaves, and is reported as that.
    start = log_bytes.rfind(b"\n", 0, at) + 1
    try:
        torn = verify_logs([path]).torn_bytes
    except IntegrityError:
        assert broken_at(path) == line
    else:
        assert torn == len(log_bytes) - start
        assert line >= LINES - 1


@pytest.mark.parametrize("line", range(1, LINES))
def test_a_removed_line_is_found_where_it_was(
    line: int, log_bytes: bytes, write_log: Write
) -> None:
    lines = split(log_bytes)
    del lines[line - 1]
    assert broken_at(write_log(b"".join(lines))) == line


@in_one_place
@given(data=st.data())
def test_exchanged_lines_are_found_at_the_first(
    data: st.DataObject, log_bytes: bytes, write_log: Write
) -> None:
    lines = split(log_bytes)
    first = data.draw(st.integers(0, LINES - 2))
    second = data.draw(st.integers(first + 1, LINES - 1))
    lines[first], lines[second] = lines[second], lines[first]
    assert broken_at(write_log(b"".join(lines))) == first + 1


@in_one_place
@given(data=st.data())
def test_an_inserted_line_is_found_where_it_is(
    data: st.DataObject, log_bytes: bytes, write_log: Write
) -> None:
    lines = split(log_bytes)
    at = data.draw(st.integers(0, LINES))
    foreign = seal(Refusal("b" * 64, at, "2026-01-31T09:05:07.012Z", None, "NoFieldOfView", 7))
    new = data.draw(st.sampled_from([*lines, foreign, b"\n", b"{}\n", b"not a record\n"]))
    honest = [*lines, b""]
    lines.insert(at, new)
    # A copy of the line that follows is one line too many only behind it.
    first = next(n for n, line in enumerate(lines) if line != honest[n])
    assert broken_at(write_log(b"".join(lines))) == first + 1


@pytest.mark.parametrize("at", range(1, LINES))
@pytest.mark.parametrize("remains", [b"hidden\x1e\n", b"\0\0\0\n", b"\x1e\n"])
def test_inserted_remains_are_found_too(
    at: int, remains: bytes, log_bytes: bytes, write_log: Write
) -> None:
    lines = split(log_bytes)
    lines.insert(at, remains)
    assert broken_at(write_log(b"".join(lines))) == at + 1
    assert broken_at(write_log(remains + log_bytes)) == 1


@pytest.mark.parametrize("line", range(2, LINES))
def test_a_line_rewritten_with_its_own_digest_is_found_at_the_next(
    line: int, log_bytes: bytes, write_log: Write
) -> None:
    lines = split(log_bytes)
    lines[line - 1] = forged(lines[line - 1])
    assert broken_at(write_log(b"".join(lines))) == line + 1


def forged(line: bytes) -> bytes:
    body = line.rpartition(b',"sha256":"')[0].replace(b'"time":"20', b'"time":"19')
    return body + b',"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'


def test_what_only_a_noted_head_shows(log_bytes: bytes, write_log: Write) -> None:
    lines = split(log_bytes)
    head = digest(lines[-1])
    whole = write_log(log_bytes)
    assert verify_logs([whole], head).noted_at == LINES
    assert verify_logs([whole], digest(lines[2])).noted_at == 3
    for content in (b"".join(lines[:-1]), b"".join([*lines[:-1], forged(lines[-1])])):
        path = write_log(content)
        assert verify_logs([path]).torn_bytes == 0
        with pytest.raises(IntegrityError, match="cut or rewritten"):
            verify_logs([path], head)


@pytest.mark.parametrize(
    "record",
    [
        '{"kind":"answer","previous":"%s","number":1,"time":"t","answer":{},"more":1',
        '{"kind":"answer","previous":"%s","number":-1,"time":"t","answer":{}',
        '{"kind":"answer","previous":"%s","number":"1","time":"t","answer":{}',
        '{"kind":"other","previous":"%s","number":1,"time":"t"',
        NAMED,
        '{"kind":"answer","previous":"%s","number":7,"time":"t","answer":{}',
        '{"kind":"header","previous":"%s","number":1,"time":"t","schema_version":1',
        '{"previous":"%s"',
    ],
)
def test_records_of_another_form_are_refused_though_they_chain(
    record: str, log_bytes: bytes, write_log: Write
) -> None:
    header = split(log_bytes)[0]
    body = (record % digest(header)).encode()
    line = body + b',"sha256":"' + hashlib.sha256(body).hexdigest().encode() + b'"}\n'
    assert broken_at(write_log(header + line)) == 2


def test_a_log_of_another_schema_is_incompatible(write_log: Write) -> None:
    path = write_log(seal(Header("0" * 64, 0, "t", 2)))
    for ask in (lambda: verify_logs([path]), lambda: AuditLog(path)):
        with pytest.raises(IncompatibleError, match="schema 2"):
            ask()


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"\x89PNG\r\n", b"{}\n", b"x" * LARGEST_LINE_BYTES * 2]
)
def test_what_is_no_log_is_broken_at_its_first_line(content: bytes, write_log: Write) -> None:
    assert broken_at(write_log(content)) == 1


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="absent"):
        verify_logs([tmp_path / "absent.jsonl"])
    with pytest.raises(UsageError, match="no audit log was named"):
        verify_logs([])


def test_memory_does_not_grow_with_the_log(write_log: Write) -> None:
    def peak(records: int) -> int:
        line = seal(Header("0" * 64, 0, "t", 1))
        lines = [line]
        for number in range(1, records):
            line = seal(Refusal(digest(line), number, "t", "a" * 64, "NoFieldOfView", 7))
            lines.append(line)
        path = write_log(b"".join(lines))
        del lines
        tracemalloc.start()
        assert verify_logs([path]).records == records
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(50)
    assert peak(1500) < peak(150) + 20_000


# -- several files -----------------------------------------------------------------------------


def test_a_rotated_log_is_one_chain(prediction: Prediction, tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.jsonl" for n in range(3)]
    log = AuditLog(files[0])
    log.append(prediction)
    for old, new in itertools.pairwise(files):
        head = rotate(old, new)
        assert head == digest(old.read_bytes().splitlines(keepends=True)[-1])
        AuditLog(new).append(prediction)
    report = verify_logs(files)
    assert (report.files, report.answers, report.records) == (3, 3, 8)
    assert verify_logs([files[1]]).continues == verify_logs([files[0]]).head
    assert verify_logs(files[1:], verify_logs([files[0]]).head).noted_at == 1
    numbers = [
        json.loads(line)["number"] for path in files for line in path.read_text().splitlines()
    ]
    assert numbers == list(range(8))


def test_nothing_follows_a_closed_log(prediction: Prediction, tmp_path: Path) -> None:
    old, new = tmp_path / "old.jsonl", tmp_path / "new.jsonl"
    log = AuditLog(old)
    rotate(old, new)
    content = old.read_bytes()
    with pytest.raises(UsageError, match="another file continues it"):
        log.append(prediction)
    assert old.read_bytes() == content
    closed = content.splitlines(keepends=True)
    more = seal(Refusal(digest(closed[-1]), 2, "t", None, "NoFieldOfView", 7))
    old.write_bytes(content + more)
    assert broken_at(old) == 3


def test_rotating_again_goes_on_where_it_stopped(prediction: Prediction, tmp_path: Path) -> None:
    old, new, other = (tmp_path / f"{name}.jsonl" for name in ("old", "new", "other"))
    AuditLog(old).append(prediction)
    head = rotate(old, new)
    new.unlink()
    assert rotate(old, new) == head
    begun = new.read_bytes()
    assert rotate(old, new) == head
    assert new.read_bytes() == begun
    AuditLog(other)
    with pytest.raises(UsageError, match="name a new file"):
        rotate(old, other)
    AuditLog(new).append(prediction)
    with pytest.raises(UsageError, match="name a new file"):
        rotate(old, new)
    with pytest.raises(UsageError, match="check the path"):
        rotate(tmp_path / "absent.jsonl", tmp_path / "x.jsonl")


def test_files_out_of_order_or_of_two_logs_are_no_chain(
    prediction: Prediction, tmp_path: Path
) -> None:
    first, second, other = (tmp_path / f"{name}.jsonl" for name in ("first", "second", "other"))
    AuditLog(first)
    rotate(first, second)
    AuditLog(other).append(prediction)
    for files in ([second, first], [first, other], [other, second], [first, first]):
        with pytest.raises(IntegrityError, match=r"line 1: it does not continue"):
            verify_logs(files)
    with second.open("ab") as file:
        file.write(b"torn")
    with pytest.raises(IntegrityError, match="in the middle of a line"):
        verify_logs([second, other])
