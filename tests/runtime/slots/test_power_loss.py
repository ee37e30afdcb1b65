"""Power loss after every file operation of a command, replayed on a disk that forgets.

The operations of a command are recorded where Python does them (audit events for creating,
renaming and deleting, `os.fsync` besides). After each one the disk is rebuilt as a power cut could
leave it: without anything that was not synced, with the names but not the content, with half of
it, with all of it, and with a random part of the names. Whichever it is, the store must open, its
active slot must be the old or the new one, whole and vouched for, and the same command must then
succeed and leave nothing behind.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from realmnet_runtime import Bundle, SlotStore
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_runtime.slots.pointer import read_pointer

Release = Callable[..., Path]
Image = dict[str, bytes | None]
"""A tree: content by relative path, None for a directory."""

RANDOM_PARTS = 3


def parent_of(name: str) -> str:
    return name.rpartition("/")[0]


@dataclass
class Change:
    """Names that change together in one directory: a creation, a deletion or a rename."""

    directory: str
    removed: tuple[str, ...]
    added: dict[str, int | None]

    def apply(self, names: dict[str, int | None]) -> None:
        for path in self.removed:
            names.pop(path, None)
        names |= self.added


@dataclass
class Disk:
    """What of a tree is on the disk for good, what only in memory, and the images of power cuts.

    Files are known by a number, so that a rename takes the content along. A file that was created
    and never synced is empty on the disk.
    """

    root: Path
    now: dict[str, int | None] = field(default_factory=dict)
    durable: dict[str, int | None] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    synced: dict[int, bytes] = field(default_factory=dict)
    images: dict[frozenset[tuple[str, bytes | None]], Image] = field(default_factory=dict)
    operations: int = 0
    todo: Callable[[], None] | None = None
    random: random.Random = field(default_factory=lambda: random.Random(5))  # noqa: S311

    def __post_init__(self) -> None:
        for path in sorted(self.root.rglob("*")):
            name = self.name(path)
            if path.is_dir():
                self.now[name] = None
            else:
                self.now[name] = self.new_number(path.read_bytes())
        self.durable = dict(self.now)

    def new_number(self, synced: bytes) -> int:
        number = len(self.synced)
        self.synced[number] = synced
        return number

    def name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def ours(self, path: object) -> str | None:
        """Relative name of a path in the tree; None for others and for open files' numbers."""
        if isinstance(path, int) or path is None:
            return None
        absolute = Path.cwd() / os.fsdecode(path)  # type: ignore[arg-type]
        return self.name(absolute) if absolute.is_relative_to(self.root) else None

    def before(self, event: str, arguments: tuple[object, ...]) -> None:
        """An operation is about to be done; the one before it is done."""
        handler = {
            "open": self.before_open,
            "os.rename": self.before_rename,
            "os.remove": self.before_remove,
            "os.mkdir": self.before_mkdir,
        }.get(event)
        if handler is not None:
            handler(*arguments[:3])
        elif event in UNKNOWN_CHANGES:
            assert self.ours(arguments[0]) is None, f"{event} is not replayed"

    def before_open(self, path: object, _: object, flags: object) -> None:
        name = self.ours(path)
        if name is None or not isinstance(flags, int) or not flags & os.O_CREAT:
            return
        self.cut()
        if not os.path.lexists(self.root / name):
            self.todo = lambda: self.change((), {name: self.new_number(b"")}, name)

    def before_rename(self, source: object, target: object, _: object) -> None:
        old, new = self.ours(source), self.ours(target)
        if old is None or new is None:
            assert old is new is None, "a file came from or went to elsewhere"
            return
        assert parent_of(old) == parent_of(new), "renamed into another directory"
        self.cut()
        self.todo = lambda: self.change((old,), {new: self.now[old]}, new)

    def before_remove(self, path: object, *_: object) -> None:
        name = self.ours(path)
        if name is not None and os.path.lexists(self.root / name):
            self.cut()
            self.todo = lambda: self.change((name,), {}, name)

    def before_mkdir(self, path: object, *_: object) -> None:
        name = self.ours(path)
        if name is not None and not os.path.lexists(self.root / name):
            self.cut()
            self.todo = lambda: self.change((), {name: None}, name)

    def change(self, removed: tuple[str, ...], added: dict[str, int | None], where: str) -> None:
        change = Change(parent_of(where), removed, added)
        change.apply(self.now)
        self.pending.append(change)

    def sync(self, descriptor: int) -> None:
        """An open file or directory was synced."""
        self.cut()
        state = os.fstat(descriptor)
        for name in ["", *self.now]:
            path = self.root / name
            if not path.exists() or not os.path.samestat(state, path.stat()):
                continue
            number = self.now.get(name)
            if number is not None:
                self.synced[number] = path.read_bytes()
            else:
                for change in [c for c in self.pending if c.directory == name]:
                    change.apply(self.durable)
                    self.pending.remove(change)

    def cut(self) -> None:
        """The previous operation is done: keep what a power cut could leave now."""
        todo, self.todo = self.todo, None
        if todo is not None:
            todo()
        self.operations += 1
        # By number: what a name had before a rename is still there where the rename is lost.
        written = self.synced | {
            number: (self.root / name).read_bytes()
            for name, number in self.now.items()
            if number is not None and (self.root / name).is_file()
        }
        torn = {
            number: content if content == self.synced[number] else content[: len(content) // 2]
            for number, content in written.items()
        }
        self.keep(self.durable, self.synced)
        for contents in (self.synced, torn, written):
            self.keep(self.now, contents)
        for _ in range(RANDOM_PARTS):
            names = dict(self.durable)
            for change in self.pending:
                if self.random.random() < 0.5:
                    change.apply(names)
            self.keep(names, torn)

    def keep(self, names: dict[str, int | None], contents: dict[int, bytes]) -> None:
        image: Image = {}
        for name in sorted(names):
            parent = parent_of(name)
            if not parent or parent in image:
                number = names[name]
                image[name] = None if number is None else contents[number]
        self.images.setdefault(frozenset(image.items()), image)


UNKNOWN_CHANGES = {"os.link", "os.symlink", "os.truncate", "os.rmdir", "shutil.move"}
watched: list[Disk] = []


def on_event(event: str, arguments: tuple[object, ...]) -> None:
    for disk in watched[:]:
        # What is done here to look at the disk is no operation of the command.
        watched.remove(disk)
        try:
            disk.before(event, arguments)
        finally:
            watched.append(disk)


@pytest.fixture(scope="module", autouse=True)
def hook() -> None:
    """A hook can never be taken away again; without a disk to watch it does nothing."""
    sys.addaudithook(on_event)


@contextmanager
def recorded(root: Path) -> Iterator[Disk]:
    disk = Disk(root)
    fsync = os.fsync

    def observed(descriptor: int) -> None:
        fsync(descriptor)
        watched.remove(disk)
        disk.sync(descriptor)
        watched.append(disk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", observed)
        watched.append(disk)
        try:
            yield disk
        finally:
            watched.remove(disk)
    disk.cut()


def rebuilt(image: Image, root: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    for name, content in image.items():
        if content is None:
            (root / name).mkdir()
        else:
            (root / name).write_bytes(content)
    return root


Step = Callable[[SlotStore], object]


@dataclass(frozen=True)
class Scenario:
    """Steps before, the command that is cut, and the version that answers before and after."""

    before: tuple[Step, ...]
    command: Step
    old: str | None
    new: str | None


def answering(store: SlotStore) -> str | None:
    """Version of the active slot, whose bundle is whole and whose receipt vouches for it."""
    pointer = read_pointer(store.folder)
    if pointer.active is None:
        return None
    active = store.active()
    with Bundle.open(active.bundle, trust=ANY_BUNDLE) as bundle:
        assert bundle.digest == active.slot.bundle_sha256
        assert bundle.manifest.model.version == active.slot.version
        return active.slot.version


def files_of(store: SlotStore) -> set[str]:
    return {path.relative_to(store.folder).as_posix() for path in store.folder.rglob("*")}


def faults(scenario: Scenario, disk: Disk, folder: Path) -> list[str]:
    """What is wrong after the cuts, one line each."""
    expected = files_of(SlotStore(disk.root / "store", trust=ANY_BUNDLE))
    found = []
    for image in disk.images.values():
        root = rebuilt(image, folder)
        store = SlotStore(root / "store", wait_s=0, trust=ANY_BUNDLE)
        try:
            if (store.folder / "pointer.json").exists():
                assert answering(store) in {scenario.old, scenario.new}
            else:
                assert scenario.old is None
                assert not (store.folder / "slots").exists()
            scenario.command(store)
            assert answering(store) == scenario.new
            assert files_of(store) - expected == set()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            found.append(f"{sorted(image)}: {type(error).__name__}: {error}")
    return found


@pytest.fixture(scope="module")
def scenarios(release: Release) -> dict[str, Scenario]:
    def install(version: str) -> Step:
        return lambda store: store.install(release(version))

    def activate(store: SlotStore) -> object:
        return store.activate()

    def roll_back(store: SlotStore) -> object:
        """Cut when it was done, there is nothing left to go back to."""
        previous = [state for state in store.states() if state.role == "previous"]
        return store.rollback() if previous else store.activate()

    one, two = (install("1"), activate), (install("2"), activate)
    return {
        "the first install": Scenario((), install("1"), None, None),
        "the first activation": Scenario((install("1"),), activate, None, "1"),
        "a second install": Scenario(one, install("2"), "1", "1"),
        "a second activation": Scenario((*one, install("2")), activate, "1", "2"),
        "a third activation": Scenario((*one, *two, install("3")), activate, "2", "3"),
        "the same bundle again": Scenario((*one, install("2")), install("2"), "1", "1"),
        "a renewed receipt": Scenario(one, lambda store: store.prove(), "1", "1"),
        "a rollback": Scenario((*one, *two), roll_back, "2", "1"),
    }


NAMES = [
    "the first install",
    "the first activation",
    "a second install",
    "a second activation",
    "a third activation",
    "the same bundle again",
    "a renewed receipt",
    "a rollback",
]


def cut_everywhere(scenario: Scenario, folder: Path) -> Disk:
    """The disk after every operation of the scenario's command."""
    (folder / "disk").mkdir()
    store = SlotStore(folder / "disk" / "store", trust=ANY_BUNDLE)
    for step in scenario.before:
        step(store)
    with recorded(folder / "disk") as disk:
        scenario.command(store)
    assert answering(store) == scenario.new
    return disk


@pytest.mark.parametrize("name", NAMES)
def test_the_slot_that_answers_is_the_old_or_the_new_one(
    name: str, scenarios: dict[str, Scenario], tmp_path: Path
) -> None:
    scenario = scenarios[name]
    disk = cut_everywhere(scenario, tmp_path)
    assert disk.operations >= 4
    assert len(disk.images) >= 4
    assert faults(scenario, disk, tmp_path / "rebuilt") == []
    # All of it was synced at the end: a cut then loses nothing but deletions.
    assert disk.now.keys() <= disk.durable.keys()
    for path, number in disk.now.items():
        if number is not None:
            assert disk.synced[number] == (disk.root / path).read_bytes()
            assert disk.durable[path] == number


@pytest.mark.parametrize("forgotten", ["files", "directories"])
def test_the_replay_finds_a_sync_that_was_forgotten(
    forgotten: str, scenarios: dict[str, Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the test above would say nothing."""
    sync = Disk.sync

    def forgetful(disk: Disk, descriptor: int) -> None:
        is_directory = Path(f"/proc/self/fd/{descriptor}").is_dir()
        if is_directory != (forgotten == "directories"):
            sync(disk, descriptor)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("what a descriptor is of is read in /proc")
    monkeypatch.setattr(Disk, "sync", forgetful)
    scenario = scenarios["a second activation"]
    disk = cut_everywhere(scenario, tmp_path)
    assert faults(scenario, disk, tmp_path / "rebuilt")
