"""What a slot store lets answer, what it refuses, and what it says."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

import realmnet_runtime
from realmnet_runtime import Predictor, SlotStore
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.bundles.writer import copy_bundle
from realmnet_runtime.errors import (
    GateFailed,
    IncompatibleError,
    IntegrityError,
    MissingPath,
    OutputError,
    UsageError,
)
from realmnet_runtime.files import is_temporary
from realmnet_runtime.proof import conditions as conditions_module
from realmnet_runtime.proof import receipt as receipt_module
from realmnet_runtime.proof import selftest as selftest_module
from realmnet_runtime.proof.receipt import read_receipt, write_receipt
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_runtime.slots import RunOptions

Release = Callable[..., Path]
MakeStore = Callable[..., SlotStore]


def roles(store: SlotStore) -> dict[str, str]:
    return {state.role: state.slot.version for state in store.states()}


def receipt_file(store: SlotStore) -> Path:
    active = store.states()[0].slot
    return store.folder / "slots" / f"{active.name}.receipt.json"


def test_the_way_of_a_bundle_from_install_to_rollback(
    release: Release, store_of: MakeStore, eye: NDArray[np.uint8]
) -> None:
    store = store_of()
    first = store.install(release("1.2"))
    assert roles(store) == {"candidate": "1.2"}
    assert store.highest is None
    with pytest.raises(IncompatibleError, match="slot activate") as caught:
        store.open()
    assert caught.value.exit_code == 6

    proven = store.activate()
    assert proven.slot == first
    assert proven.receipt.passed
    assert roles(store) == {"active": "1.2"}
    with store.open() as predictor, Predictor.open(release("1.2"), trust=ANY_BUNDLE) as direct:
        assert predictor.bundle.digest == first.bundle_sha256 == direct.bundle.digest
        assert predictor.predict(eye).probabilities == direct.predict(eye).probabilities

    store.install(release("1.10"))
    assert roles(store) == {"active": "1.2", "candidate": "1.10"}
    assert store.active().slot == first
    store.activate()
    assert roles(store) == {"active": "1.10", "previous": "1.2"}
    assert store.highest == "1.10"
    assert store.rollback().slot == first
    assert roles(store) == {"active": "1.2"}
    assert store.highest == "1.10"
    assert store.active().slot == first
    assert {path.name for path in (store.folder / "slots").iterdir()} == {
        f"{first.name}.realmnet",
        f"{first.name}.receipt.json",
    }
    with pytest.raises(UsageError, match="no previous slot"):
        store.rollback()


def test_versions_below_the_highest_ever_active_are_refused(
    release: Release, store_of: MakeStore
) -> None:
    store = store_of("1.2", "1.10")
    for old in ("1.2", "1.9", "1.10-rc.1"):
        with pytest.raises(IncompatibleError, match=r"1\.10 was active") as caught:
            store.install(release(old))
        assert caught.value.exit_code == 6
    store.rollback()
    for old in ("1.2", "1.9"):
        with pytest.raises(IncompatibleError, match=r"1\.10 was active"):
            store.install(release(old))
    assert roles(store) == {"active": "1.2"}
    # The same version is not below; nor is one that was never active counted.
    store.install(release("2.0"))
    store.install(release("1.10"))
    store.activate()
    assert roles(store) == {"active": "1.10", "previous": "1.2"}


def test_a_version_that_cannot_be_compared_makes_no_store(release: Release, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="cannot be compared"):
        SlotStore(tmp_path / "store", trust=ANY_BUNDLE).install(release("newest"))
    assert not (tmp_path / "store").exists()


def test_a_bundle_that_fails_its_test_never_answers(release: Release, store_of: MakeStore) -> None:
    store = store_of("1")
    store.install(release("2", failing=True))
    with pytest.raises(GateFailed, match=r"slot .*\(tiny 1\) stays active") as caught:
        store.activate()
    assert caught.value.exit_code == 4
    assert roles(store) == {"active": "1", "candidate": "2"}
    assert store.highest == "1"
    assert [state.receipt for state in store.states()] == ["passed", "failed"]
    store.open().close()
    store.install(release("2"))
    store.activate()
    assert roles(store) == {"active": "2", "previous": "1"}


def test_a_first_bundle_that_fails_leaves_no_slot_active(
    release: Release, store_of: MakeStore
) -> None:
    store = store_of()
    store.install(release("1", failing=True))
    with pytest.raises(GateFailed, match="no slot is active"):
        store.activate()
    with pytest.raises(IncompatibleError, match="no slot of"):
        store.active()
    with pytest.raises(IncompatibleError, match="no slot of"):
        store.prove()


def test_a_receipt_that_holds_is_not_made_anew(store_of: MakeStore) -> None:
    store = store_of("1")
    before = receipt_file(store).stat().st_ino
    store.activate()
    assert receipt_file(store).stat().st_ino == before
    store.prove()
    assert receipt_file(store).stat().st_ino != before


def change_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if numpy had been updated; the fingerprint asks it for its version."""
    monkeypatch.setattr(conditions_module.np, "__version__", "99.0")


def test_after_a_change_of_a_library_the_test_is_needed_again(
    release: Release, store_of: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of("1")
    change_numpy(monkeypatch)
    for ask in (store.active, store.open):
        with pytest.raises(IncompatibleError, match=r"numpy .* is now 99\.0; .*slot activate"):
            ask()
    assert store.states()[0].receipt.startswith("no longer holds: numpy")
    store.activate()
    store.open().close()
    assert store.states()[0].receipt == "passed"


def test_with_another_slot_waiting_the_cure_does_not_change_to_it(
    release: Release, store_of: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of("1")
    store.install(release("2"))
    change_numpy(monkeypatch)
    with pytest.raises(IncompatibleError, match="realmnet selftest --store"):
        store.open()
    store.prove()
    store.open().close()
    assert roles(store) == {"active": "1", "candidate": "2"}


def test_what_only_the_loaded_engine_tells_is_compared_too(store_of: MakeStore) -> None:
    store = store_of("1")
    found = read_receipt(receipt_file(store))
    engine = msgspec.structs.replace(found.conditions.engine, version="0.1")
    conditions = msgspec.structs.replace(found.conditions, engine=engine)
    write_receipt(receipt_file(store), msgspec.structs.replace(found, conditions=conditions))
    store.active()
    with pytest.raises(IncompatibleError, match=r"onnxruntime 0\.1 is now "):
        store.open()
    store.activate()
    store.open().close()


def test_a_slot_runs_as_it_was_tested(tiny_bundle: Path, tmp_path: Path) -> None:
    if "onnxruntime" not in installed_engines():
        pytest.skip("onnxruntime is not installed")
    store = SlotStore(tmp_path / "store", trust=ANY_BUNDLE)
    store.install(tiny_bundle)
    store.activate(RunOptions(variant="onnxruntime-fp32", threads=2))
    with store.open() as predictor:
        assert (predictor.variant.name, predictor.threads) == ("onnxruntime-fp32", 2)
    # What is not said is as in the last test.
    again = store.prove(RunOptions(threads=1)).receipt.conditions
    assert (again.variant, again.engine.threads) == ("onnxruntime-fp32", 1)
    # Another wish makes another test.
    other = store.activate(RunOptions(engine="onnxruntime")).receipt.conditions
    assert (other.variant, other.engine.threads) == ("onnxruntime-int8", 1)


def test_directories_and_zips_are_one_bundle(release: Release, store_of: MakeStore) -> None:
    store = store_of()
    directory = store.folder.parent / "directory"
    with realmnet_runtime.Bundle.open(release("1"), trust=ANY_BUNDLE) as bundle:
        copy_bundle(bundle, directory)
    assert store.install(directory) == store.install(release("1"))
    store.activate()
    # The bundle that answers already is no candidate, and drops another one.
    store.install(release("2"))
    store.install(directory)
    assert roles(store) == {"active": "1"}


# -- damage ------------------------------------------------------------------------------------


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [cut_short, flip_a_byte, empty, remove])
def test_a_spoilt_pointer_is_one_line_everywhere(
    spoil: Callable[[Path], None], release: Release, store_of: MakeStore
) -> None:
    store = store_of("1")
    spoil(store.folder / "pointer.json")
    commands: list[Callable[[], object]] = [
        lambda: store.install(release("2")),
        store.activate,
        store.rollback,
        store.prove,
        store.active,
        store.open,
        store.states,
    ]
    for command in commands:
        with pytest.raises(IntegrityError, match="install into a new store") as caught:
            command()
        assert caught.value.exit_code == 5
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spoil", [cut_short, flip_a_byte, empty, remove])
def test_a_spoilt_bundle_never_answers_and_is_installed_again(
    spoil: Callable[[Path], None], release: Release, store_of: MakeStore
) -> None:
    store = store_of("1")
    spoil(store.active().bundle)
    for command in (store.open, store.activate, store.prove):
        with pytest.raises(IntegrityError, match="realmnet slot install") as caught:
            command()
        assert "\n" not in str(caught.value)
    store.install(release("1"))
    store.open().close()


def test_another_bundle_under_the_slots_name_is_refused(
    release: Release, store_of: MakeStore
) -> None:
    store = store_of("1")
    shutil.copy(release("2"), store.active().bundle)
    with pytest.raises(IntegrityError, match="another bundle"):
        store.open()


@pytest.mark.parametrize("spoil", [cut_short, empty, remove])
def test_a_spoilt_receipt_vouches_for_nothing_and_is_made_anew(
    spoil: Callable[[Path], None], store_of: MakeStore
) -> None:
    store = store_of("1")
    spoil(receipt_file(store))
    with pytest.raises((IntegrityError, IncompatibleError), match=r"test|self-test"):
        store.open()
    assert store.states()[0].receipt in {"none", "damaged"}
    store.activate()
    store.open().close()


def test_the_receipt_of_another_slot_vouches_for_nothing(
    release: Release, store_of: MakeStore
) -> None:
    store = store_of("1")
    foreign = receipt_file(store).read_bytes()
    store.install(release("2"))
    store.activate()
    receipt_file(store).write_bytes(foreign)
    with pytest.raises(IncompatibleError, match="no receipt of its own"):
        store.open()


def test_a_slot_whose_test_fails_here_does_not_answer(
    release: Release, store_of: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a library made another tensor of the same picture since."""
    store = store_of("1", "2")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selftest_module, "tensor_digest", lambda _: "0" * 64)
        with pytest.raises(GateFailed, match=r"tensor deviates .*\(tiny 2\) stays active"):
            store.rollback()
        assert roles(store) == {"active": "2", "previous": "1"}
        store.open().close()
        assert not store.prove().receipt.passed
        for ask in (store.open, store.active):
            with pytest.raises(GateFailed, match="tensor deviates") as caught:
                ask()
            assert caught.value.exit_code == 4
        with pytest.raises(GateFailed, match="install another bundle or roll back"):
            store.activate()
    store.rollback()
    assert roles(store) == {"active": "1"}
    store.open().close()


def test_a_previous_slot_that_is_gone_is_not_gone_back_to(store_of: MakeStore) -> None:
    store = store_of("1", "2")
    previous = store.states()[1].slot
    (store.folder / "slots" / f"{previous.name}.realmnet").unlink()
    with pytest.raises(IntegrityError, match="lost its bundle"):
        store.rollback()
    assert roles(store) == {"active": "2", "previous": "1"}
    store.open().close()


def test_other_folders_are_no_stores(release: Release, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("a")
    (tmp_path / "file").write_text("a")
    with pytest.raises(UsageError, match="no slot store and not empty"):
        SlotStore(tmp_path / "letters", trust=ANY_BUNDLE).install(release("1"))
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["a.txt"]
    with pytest.raises(OutputError, match="no directory"):
        SlotStore(tmp_path / "file", trust=ANY_BUNDLE).install(release("1"))
    for command in ("activate", "rollback", "prove", "active", "open", "states"):
        with pytest.raises(MissingPath, match="slot install"):
            getattr(SlotStore(tmp_path / "absent", trust=ANY_BUNDLE), command)()
    assert not (tmp_path / "absent").exists()


def test_what_is_not_ours_stays_when_leftovers_go(release: Release, store_of: MakeStore) -> None:
    store = store_of("1")
    slots = store.folder / "slots"
    ours = [slots / f"{'a' * 16}.realmnet", slots / f"{'a' * 16}.receipt.json"]
    parts = [folder / ".realmnet-0123456789abcdef.part" for folder in (store.folder, slots)]
    foreign = [slots / "notes.txt", store.folder / "README"]
    for path in (*ours, *parts, *foreign):
        path.write_bytes(b"x")
    store.activate()
    assert not [path for path in (*ours, *parts) if path.exists()]
    assert all(path.exists() for path in foreign)


# -- the clock ---------------------------------------------------------------------------------


def test_nothing_depends_on_the_clock(
    release: Release, store_of: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set back between every two commands, by a century, and the files are of the future."""
    store = store_of()
    steps: list[tuple[Callable[[], object], dict[str, str]]] = [
        (lambda: store.install(release("1")), {"candidate": "1"}),
        (store.activate, {"active": "1"}),
        (lambda: store.install(release("2")), {"active": "1", "candidate": "2"}),
        (store.activate, {"active": "2", "previous": "1"}),
        (store.rollback, {"active": "1"}),
        (store.prove, {"active": "1"}),
    ]
    for number, (step, expected) in enumerate(steps):
        then = datetime(2600 - 100 * number, 1, 1, tzinfo=timezone.utc)
        monkeypatch.setattr(receipt_module, "_now", lambda then=then: then)
        step()
        for path in store.folder.rglob("*"):
            os.utime(path, (9e9, 9e9 + number))
        assert roles(store) == expected
        if "active" in expected:
            store.active()
    assert read_receipt(receipt_file(store)).time.year == 2100


def test_no_other_line_asks_a_clock_that_can_be_set() -> None:
    package = Path(realmnet_runtime.__file__).parent
    sources = [
        *(package / "slots").glob("*.py"),
        package / "locks.py",
        package / "proof" / "conditions.py",
    ]
    for source in sources:
        text = source.read_text(encoding="utf-8")
        assert not [w for w in ("datetime", "time.time", "mtime", "ctime(") if w in text], source


# -- no room -----------------------------------------------------------------------------------


@contextmanager
def full_disk(*, room: int) -> Iterator[list[int]]:
    """A disk with room for so many files more: the system says so when the next is synced.

    Yields:
        The descriptors that were synced.
    """
    fsync, synced = os.fsync, list[int]()

    def refuse(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            if len(synced) >= room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            synced.append(descriptor)
        fsync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        yield synced


Step = Callable[[SlotStore], object]


@pytest.mark.parametrize("name", ["install", "activate", "rollback"])
def test_a_full_disk_leaves_the_slot_that_answers(
    name: str, release: Release, tmp_path: Path
) -> None:
    """At every file in turn that the command writes."""
    steps: list[Step] = [
        lambda store: store.install(release("1")),
        lambda store: store.activate(),
        lambda store: store.install(release("2")),
        lambda store: store.activate(),
        lambda store: store.rollback(),
    ]
    done = {"install": 2, "activate": 3, "rollback": 4}[name]
    command = steps[done]

    def a_store(where: str) -> SlotStore:
        store = SlotStore(tmp_path / where, trust=ANY_BUNDLE)
        for step in steps[:done]:
            step(store)
        return store

    enough = a_store("enough")
    with full_disk(room=99) as synced:
        command(enough)
    assert len(synced) == 2  # the bundle or the receipt, and the pointer
    for room in range(len(synced)):
        store = a_store(str(room))
        before = roles(store)
        with (
            full_disk(room=room),
            pytest.raises(OutputError, match="free some space") as caught,
        ):
            command(store)
        assert caught.value.exit_code == 8
        assert "\n" not in str(caught.value)
        assert roles(store) == before
        assert store.active().slot.version == before["active"]
        assert not [path for path in store.folder.rglob("*") if is_temporary(path)]
        command(store)
        assert roles(store) == roles(enough)
