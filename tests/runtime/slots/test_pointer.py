"""The pointer file: laws of its states, and damage that is always found."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.errors import IncompatibleError, IntegrityError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.slots.pointer import Pointer, Slot, read_pointer, write_pointer
from realmnet_runtime.slots.versions import precedence

versions = st.sampled_from(["1", "1.2", "1.10", "2.0-rc.1", "2.0", "10"])
steps = st.lists(
    st.one_of(st.tuples(st.just("install"), versions), st.sampled_from(["activate", "rollback"])),
    max_size=12,
)


def a_slot(version: str) -> Slot:
    return Slot(sha256_of(version.encode()), "tiny", version)


@given(steps)
def test_the_highest_version_never_sinks_and_nothing_below_it_gets_in(
    taken: list[str | tuple[str, str]],
) -> None:
    pointer = Pointer()
    for step in taken:
        before = pointer
        if isinstance(step, tuple):
            slot = a_slot(step[1])
            if pointer.is_downgrade(slot.version):
                continue
            pointer = pointer.installed(slot)
            assert (pointer.candidate or pointer.active) == slot
            assert (pointer.active, pointer.previous) == (before.active, before.previous)
        elif step == "activate":
            pointer = pointer.activated()
            assert pointer.active == (before.candidate or before.active)
            if before.candidate:
                assert pointer.previous == before.active
        elif pointer.previous is not None:
            pointer = pointer.rolled_back()
            assert (pointer.active, pointer.previous) == (before.previous, None)
            assert pointer.candidate == before.candidate
        if before.highest is not None:
            assert pointer.highest is not None
            assert precedence(pointer.highest) >= precedence(before.highest)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pointer]:
    pointer = Pointer(a_slot("1.2"), a_slot("1"), a_slot("2.0"), "1.10")
    folder = tmp_path_factory.mktemp("pointer")
    write_pointer(folder, pointer)
    return folder / "pointer.json", pointer


def test_it_is_read_as_written(written: tuple[Path, Pointer]) -> None:
    path, pointer = written
    assert read_pointer(path.parent) == pointer
    content = json.loads(path.read_bytes())
    assert content["pointer"]["active"]["version"] == "1.2"
    assert content["pointer"]["highest"] == "1.10"


@given(data=st.data())
def test_a_changed_byte_is_found_or_says_the_same(
    data: st.DataObject, written: tuple[Path, Pointer]
) -> None:
    path, pointer = written
    whole = path.read_bytes()
    content = bytearray(whole)
    content[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        with contextlib.suppress(IntegrityError, IncompatibleError):
            assert read_pointer(path.parent) == pointer
    finally:
        path.write_bytes(whole)


@given(st.integers(0, 280))
def test_a_cut_file_is_found(written: tuple[Path, Pointer], length: int) -> None:
    path, _ = written
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    try:
        with pytest.raises(IntegrityError, match="cannot be used") as caught:
            read_pointer(path.parent)
        assert caught.value.exit_code == 5
        assert "install into a new store" in str(caught.value)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize(
    "pointer",
    [
        {"active": None, "previous": None, "candidate": None, "highest": "1"},
        {"active": None, "previous": "1", "candidate": None, "highest": None},
        {"active": "2.0", "previous": None, "candidate": None, "highest": "1.10"},
        {"active": "1", "previous": "1.2", "candidate": None, "highest": "1"},
        {"active": "1", "previous": None, "candidate": None, "highest": "newest"},
        {"active": "one", "previous": None, "candidate": None, "highest": "1"},
    ],
)
def test_states_that_cannot_be_are_damage(tmp_path: Path, pointer: dict[str, str | None]) -> None:
    content = {
        key: {"bundle_sha256": "ab" * 32, "model": "tiny", "version": value}
        if value and key != "highest"
        else value
        for key, value in pointer.items()
    }
    raw = json.dumps(content)
    text = f'{{"schema_version":1,"sha256":"{sha256_of(raw.encode())}","pointer":{raw}}}'
    (tmp_path / "pointer.json").write_text(text)
    with pytest.raises(IntegrityError, match="cannot be used"):
        read_pointer(tmp_path)


def test_another_generation_is_named_whatever_else_it_holds(tmp_path: Path) -> None:
    text = '{"schema_version":2,"sha256":"' + "ab" * 32 + '","pointer":{"new":1},"more":[]}'
    (tmp_path / "pointer.json").write_text(text)
    with pytest.raises(IncompatibleError, match="has schema 2; this runtime reads schema 1"):
        read_pointer(tmp_path)
