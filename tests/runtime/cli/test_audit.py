"""`realmnet predict --audit` and `realmnet audit`: what is recorded, and what is found amiss."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]


@pytest.fixture
def log(
    realmnet: Command, eye_png: bytes, tiny_bundle: Path, an_engine: str, tmp_path: Path
) -> Path:
    """Of a picture that is answered and one that is refused, both with a record number."""
    folder = tmp_path / "patient-0815"
    folder.mkdir()
    (folder / "record-4711_OD.png").write_bytes(eye_png)
    (folder / "record-4712_OS.jpg").write_bytes(b"text renamed")
    path = tmp_path / "audit.jsonl"
    words = (
        "--bundle",
        tiny_bundle,
        "--allow-unsigned",
        "--engine",
        an_engine,
        "--threads",
        "1",
        "--audit",
        path,
    )
    assert realmnet("predict", folder, *words, "--json").code == 7
    return path


def test_answers_and_refusals_are_recorded_without_a_name(log: Path, eye_png: bytes) -> None:
    header, answer, refusal = map(json.loads, log.read_text().splitlines())
    assert header["kind"] == "header"
    assert answer["answer"]["input"]["sha256"] == hashlib.sha256(eye_png).hexdigest()
    assert refusal["input_sha256"] == hashlib.sha256(b"text renamed").hexdigest()
    assert (refusal["error"], refusal["exit_code"]) == ("UnreadableImage", 7)
    text = log.read_text()
    for word in ("4711_", "-0815", "record", ".png", ".jpg", "/", str(log.parent)):
        assert word not in text


def test_what_ends_a_run_is_recorded_too(
    realmnet: Command, log: Path, eye_file: Path, tiny_bundle: Path
) -> None:
    broken = log.with_name("broken.realmnet")
    broken.write_bytes(tiny_bundle.read_bytes()[:-1])
    done = realmnet("predict", eye_file, "--bundle", broken, "--allow-unsigned", "--audit", log)
    assert done.code == 5
    last = json.loads(log.read_text().splitlines()[-1])
    assert (last["error"], last["exit_code"], last["input_sha256"]) == ("IntegrityError", 5, None)
    assert "broken" not in log.read_text()


def test_no_answer_is_given_that_could_not_be_recorded(
    realmnet: Command, log: Path, eye_file: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    damaged = log.read_bytes()[:-9] + b"X" + log.read_bytes()[-8:]
    log.write_bytes(damaged)
    done = realmnet(
        "predict", eye_file, "--bundle", tiny_bundle, "--allow-unsigned", "--audit", log, "--json"
    )
    assert (done.code, done.out) == (5, "")
    assert log.read_bytes() == damaged
    done = realmnet(
        "predict",
        eye_file,
        "--bundle",
        tiny_bundle,
        "--allow-unsigned",
        "--audit",
        tmp_path,
        "--json",
    )
    assert (done.code, done.out) == (8, "")


def test_a_whole_log_verifies(realmnet: Command, log: Path) -> None:
    done = realmnet("audit", "verify", log)
    assert (done.code, done.err) == (0, "")
    assert "holds" in done.out
    done = realmnet("audit", "verify", log, "--json")
    report = json.loads(done.out)
    last = log.read_bytes().splitlines(keepends=True)[-1]
    assert report["head"] == hashlib.sha256(last).hexdigest()
    assert (report["answers"], report["refusals"]) == (1, 1)
    done = realmnet("audit", "verify", log, "--expect", report["head"])
    assert (done.code, "at line 3" in done.out) == (0, True)


def test_a_broken_chain_is_5_and_names_the_line(realmnet: Command, log: Path) -> None:
    head = json.loads(realmnet("audit", "verify", log, "--json").out)["head"]
    whole = log.read_bytes()
    log.write_bytes(whole.replace(b'"threads":1', b'"threads":2'))
    done = realmnet("audit", "verify", log)
    assert (done.code, done.out) == (5, "")
    assert "broken at line 2" in done.one_line()
    log.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    assert realmnet("audit", "verify", log).code == 0
    done = realmnet("audit", "verify", log, "--expect", head)
    assert (done.code, "cut or rewritten" in done.one_line()) == (5, True)


def test_a_torn_end_is_said_and_is_no_break(realmnet: Command, log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-7])
    done = realmnet("audit", "verify", log)
    assert done.code == 0
    assert "not finished" in done.one_line()


def test_a_log_goes_on_in_another_file(realmnet: Command, log: Path, tmp_path: Path) -> None:
    new = tmp_path / "next.jsonl"
    head = realmnet("audit", "rotate", log, new).out.split()[0]
    done = realmnet("audit", "verify", log, new, "--expect", head, "--json")
    assert (done.code, json.loads(done.out)["files"]) == (0, 2)
    assert realmnet("audit", "verify", new, log).code == 5
    assert realmnet("audit", "verify", tmp_path / "absent").code == 2
