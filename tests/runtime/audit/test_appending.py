"""Appending survives what happens to a camera: power cuts, kills, full disks, two programs."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realmnet_runtime import Prediction
from realmnet_runtime.audit import AuditLog, rotate, verify_logs
from realmnet_runtime.audit.records import HEADER_BEGINS
from realmnet_runtime.errors import (
    IntegrityError,
    NoFieldOfView,
    OutputError,
    UnreadableImage,
    UsageError,
)
from realmnet_runtime.locks import locked

Write = Callable[[bytes], Path]
in_one_place = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
REFUSED = NoFieldOfView("no aperture")


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_an_answer_is_recorded_with_all_that_produced_it(
    prediction: Prediction, tmp_path: Path
) -> None:
    path = tmp_path / "audit.jsonl"
    head = AuditLog(path).append(prediction)
    assert verify_logs([path]).head == head
    said = records(path)[1]["answer"]
    whole = json.loads(json.dumps(prediction.to_dict()))
    assert said == {name: whole[name] for name in said}
    assert {
        *("input", "bundle_sha256", "variant", "engine", "engine_version", "precision"),
        *("spec_version", "thresholds", "probabilities", "findings", "time", "model"),
    } <= set(said)
    assert "notice" not in said


def test_a_refusal_is_recorded_by_class_and_never_by_its_message(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path).append_refusal("f" * 64, UnreadableImage("record-4711.jpg is cut short"))
    said = records(path)[1]
    assert (said["input_sha256"], said["error"], said["exit_code"]) == (
        "f" * 64,
        "UnreadableImage",
        7,
    )
    assert b"4711" not in path.read_bytes()
    with pytest.raises(UsageError, match="no SHA-256"):
        AuditLog(path).append_refusal("record-4711.jpg", REFUSED)


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX systems")
def test_a_log_is_its_owners(tmp_path: Path) -> None:
    AuditLog(tmp_path / "audit.jsonl")
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


# -- what is left of a line --------------------------------------------------------------------


@in_one_place
@given(data=st.data())
def test_a_torn_line_is_reported_and_set_aside_without_loss(
    data: st.DataObject, log_bytes: bytes, write_log: Write
) -> None:
    """Cut anywhere behind the header, appended to, and cut again, up to three times."""
    path = write_log(log_bytes)
    kept = log_bytes.index(b"\n") + 1
    for _ in range(3):
        content = path.read_bytes()
        cut = data.draw(st.integers(kept, len(content)))
        left = content[:cut] + data.draw(st.sampled_from([b"", b"", b"\0" * 40]))
        path.write_bytes(left)
        before = verify_logs([path])
        AuditLog(path).append_refusal(None, REFUSED)
        after = verify_logs([path])
        assert path.read_bytes().startswith(left)
        assert after.torn_bytes == 0
        assert after.records == before.records + 1
        assert (after.set_aside > before.set_aside) == (before.torn_bytes > 0)


def test_every_cut_of_the_last_line_is_seen(log_bytes: bytes, write_log: Write) -> None:
    start = log_bytes.rfind(b"\n", 0, -1) + 1
    for cut in range(start, len(log_bytes)):
        report = verify_logs([write_log(log_bytes[:cut])])
        assert (report.records, report.torn_bytes) == (5, cut - start)


def test_set_aside_lines_are_vouched_for(log_bytes: bytes, write_log: Write) -> None:
    path = write_log(log_bytes[:-20])
    AuditLog(path).append_refusal(None, REFUSED)
    content = path.read_bytes()
    at = content.index(b"\x1e\n")
    for changed in (
        content[: at - 3] + b"x" + content[at - 2 :],
        content[: at - 3] + content[at - 2 :],
        content.replace(b"\x1e\n", b"\x1e\x1e\n"),
    ):
        path.write_bytes(changed)
        with pytest.raises(IntegrityError, match="broken at line 6"):
            verify_logs([path])


def test_a_torn_header_is_written_again(log_bytes: bytes, write_log: Write) -> None:
    header = log_bytes[: log_bytes.index(b"\n")]
    for cut in range(0, len(header), 9):
        for content in (header[:cut], bytes(cut)):
            path = write_log(content)
            AuditLog(path)
            assert verify_logs([path]).records == 1
    assert header.startswith(HEADER_BEGINS)


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n",
        b"hello",
        b"hello\n",
        b"{}\n",
        b"{}",
        b"\n",
        b"\x1e\n",
        b"x" * (1 << 20),
        bytes(1 << 20),
    ],
)
def test_a_file_that_is_no_log_is_left_alone(content: bytes, write_log: Write) -> None:
    path = write_log(content)
    with pytest.raises(IntegrityError, match="does not end as an audit log does"):
        AuditLog(path)
    with pytest.raises(IntegrityError, match="does not end"):
        rotate(path, path.with_name("new.jsonl"))
    assert path.read_bytes() == content


def test_a_log_whose_last_line_was_altered_takes_no_more(
    log_bytes: bytes, write_log: Write
) -> None:
    path = write_log(log_bytes[:-10] + b"X" + log_bytes[-9:])
    with pytest.raises(IntegrityError, match="does not end"):
        AuditLog(path)


def test_the_end_is_found_behind_long_remains(log_bytes: bytes, write_log: Write) -> None:
    path = write_log(log_bytes + b"\0" * 100_000)
    AuditLog(path).append_refusal(None, REFUSED)
    assert verify_logs([path]).set_aside == 1


# -- the system says no ------------------------------------------------------------------------


def test_places_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "absent" / "x.jsonl", tmp_path / "file" / "x.jsonl"):
        with pytest.raises(OutputError, match="cannot write") as caught:
            AuditLog(path)
        assert caught.value.exit_code == 8
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="a device of POSIX systems")
def test_a_device_is_no_log() -> None:
    with pytest.raises(OutputError, match="not a regular file"):
        AuditLog("/dev/null")


def test_a_log_held_too_long_is_an_error_and_not_a_hang(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path)
    with path.open("r+b") as one, path.open("r+b") as two, locked(one.fileno(), path):
        begin = time.monotonic()
        with (
            pytest.raises(OutputError, match="held by another process"),
            locked(two.fileno(), path, wait_s=0.05),
        ):
            pytest.fail("two hold one lock")
        assert time.monotonic() - begin >= 0.05
    with path.open("r+b") as two, locked(two.fileno(), path, wait_s=0.0):
        pass
    with pytest.raises(OutputError, match="cannot write"), locked(closed_descriptor(path), path):
        pytest.fail("a closed file was locked")


def closed_descriptor(path: Path) -> int:
    """A descriptor that no file has any more: an error that waiting does not mend."""
    descriptor = os.open(path, os.O_RDWR)
    os.close(descriptor)
    return descriptor


FULL = """
import resource, sys
from realmnet_runtime.audit import AuditLog
from realmnet_runtime.errors import NoFieldOfView, OutputError
log = AuditLog(sys.argv[1])
log.append_refusal(None, NoFieldOfView("x"))
import os
most = os.path.getsize(sys.argv[1]) + 50
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    log.append_refusal(None, NoFieldOfView("x"))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="the limit on files is of POSIX systems")
def test_a_full_disk_is_one_line_and_the_log_goes_on_later(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    done = python(FULL, path)
    assert "free some space" in done
    report = verify_logs([path])
    assert (report.records, report.torn_bytes) == (2, 50)
    AuditLog(path).append_refusal(None, REFUSED)
    assert verify_logs([path]).records == 3


# -- several programs --------------------------------------------------------------------------

APPEND = """
import sys
from realmnet_runtime.audit import AuditLog
from realmnet_runtime.errors import NoFieldOfView
log = AuditLog(sys.argv[1])
print("begun", flush=True)
for number in range(int(sys.argv[2])):
    log.append_refusal(sys.argv[3] + f"{number:063x}", NoFieldOfView("x"))
"""


def python(code: str, *words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=True
    )
    return done.stdout


def start(path: Path, count: int, mark: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", APPEND, str(path), str(count), mark],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_write_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    processes = [start(path, 200, mark) for mark in "ab"]
    assert [process.wait() for process in processes] == [0, 0]
    report = verify_logs([path])
    assert (report.records, report.refusals, report.set_aside) == (401, 400, 0)
    written = [said["input_sha256"] for said in records(path)[1:]]
    for mark in "ab":
        mine = [digest for digest in written if digest[0] == mark]
        assert mine == [f"{mark}{number:063x}" for number in range(200)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.close()


def test_a_kill_at_any_moment_leaves_a_log_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for kill in range(2):
        with start(path, 1_000_000, str(kill)) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            size = path.stat().st_size
            while path.stat().st_size < size + 400 * (kill + 3):
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        before = verify_logs([path])
        AuditLog(path).append_refusal(None, REFUSED)
        assert verify_logs([path]).records == before.records + 1
