"""The folder of answers: one writer, whole files, and what counts as an answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realmnet_runtime import OutputError, UsageError
from realmnet_runtime.locks import FileLock
from realmnet_runtime.watching import ResultFolder

DIGEST = "ab" * 32
ANSWER = {"input": {"sha256": DIGEST}, "bundle_sha256": "cd" * 32, "variant": "v", "more": [1, 2]}


def test_an_answer_is_found_again(tmp_path: Path) -> None:
    with ResultFolder(tmp_path / "new" / "out") as results:
        assert results.find(DIGEST) is None
        results.keep(DIGEST, ANSWER)
        found = results.find(DIGEST)
    assert found is not None
    assert (found.bundle_sha256, found.variant) == ("cd" * 32, "v")
    assert json.loads((tmp_path / "new" / "out" / f"{DIGEST}.json").read_text()) == ANSWER


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 200), st.binary(max_size=4))
def test_what_is_not_whole_is_no_answer(tmp_path: Path, cut: int, end: bytes) -> None:
    whole = json.dumps(ANSWER).encode()
    place = tmp_path / f"{DIGEST}.json"
    content = whole[:cut] + end
    place.write_bytes(content)
    found = ResultFolder(tmp_path).find(DIGEST)
    try:
        is_whole = json.loads(content) == ANSWER
    except ValueError:
        is_whole = False
    assert (found is not None) == is_whole


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 300, b"[]", b"{}", b"\xff", b"[" * 100_000, json.dumps(ANSWER).encode()],
    ids=len,
)
def test_other_content_is_no_answer(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"{'ef' * 32}.json").write_bytes(content)
    assert ResultFolder(tmp_path).find("ef" * 32) is None


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    with ResultFolder(tmp_path), pytest.raises(UsageError, match="another `realmnet watch`"):
        ResultFolder(tmp_path).__enter__()
    with ResultFolder(tmp_path):
        pass


def test_a_lock_is_let_go_of_once(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    assert not first.is_in_place()
    assert first.acquire()
    assert first.is_in_place()
    assert not second.acquire()
    assert not second.is_in_place()
    first.release()
    first.release()
    assert second.acquire()
    second.release()


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / ".realmnet-0123456789abcdef.part"
    others = [tmp_path / ".realmnet-x.part", tmp_path / "notes.part", tmp_path / "a.json"]
    for path in (left, *others):
        path.write_bytes(b"half")
    with ResultFolder(tmp_path):
        assert not left.exists()
        assert all(path.exists() for path in others)


def test_a_folder_that_is_gone_or_anothers_is_exit_8(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with ResultFolder(folder) as results:
        results.require_present()
        folder.rename(tmp_path / "away")
        with pytest.raises(OutputError, match="is gone, or another") as caught:
            results.require_present()
        assert caught.value.exit_code == 8
        with pytest.raises(OutputError, match="cannot write"):
            results.keep(DIGEST, ANSWER)
        assert not folder.exists()
        # Of the same name, with a lock of its own: still not the one that was opened.
        with ResultFolder(folder), pytest.raises(OutputError, match="is gone, or another"):
            results.require_present()


def test_a_folder_that_cannot_be_is_exit_8(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(OutputError, match="cannot write"):
            ResultFolder(path).__enter__()
