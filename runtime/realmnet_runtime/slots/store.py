"""The slot store: bundles on a device, of which one answers.

A folder with a pointer file, a lock and the slots. A new bundle is installed beside the one that
answers, tested where it will run, and only then pointed to. Everything is written whole under a
temporary name, synced, renamed and synced again, and the pointer comes last: after a power cut or
a kill at any moment the slot that answered still does, or the new one does.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import msgspec

from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.errors import (
    IncompatibleError,
    MissingPath,
    UsageError,
)
from realmnet_runtime.files import is_temporary, make_directory
from realmnet_runtime.locks import exclusive
from realmnet_runtime.proof.conditions import Conditions, Fingerprint
from realmnet_runtime.signatures.trust import DEFAULT_TRUST, Trust
from realmnet_runtime.slots.pointer import (
    POINTER_NAME,
    Pointer,
    Slot,
    read_pointer,
    write_pointer,
)
from realmnet_runtime.slots.proving import ProvenSlot, RunOptions, open_slot, prove_slot, worth_of
from realmnet_runtime.slots.shelf import Shelf, sweep_temporaries

LOCK_NAME: Final = "lock"
SHELF_NAME: Final = "slots"
LONGEST_WAIT_S: Final = 60.0
AS_TESTED: Final = RunOptions()

_INSTALL: Final = "`realmnet slot install BUNDLE` puts one there"

Role = Literal["active", "previous", "candidate"]


class SlotState(msgspec.Struct, frozen=True):
    """What `list` says of a slot: its part in the store and what its receipt is worth."""

    role: Role
    slot: Slot
    receipt: str


class SlotStore:
    """A store in a folder, which `install` makes.

    One command changes it at a time; others wait for it. Reading takes no lock.

    Args:
        folder: of the store.
        wait_s: seconds to wait for another command before giving up.
        trust: whose bundles are installed and opened.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        wait_s: float = LONGEST_WAIT_S,
        trust: Trust = DEFAULT_TRUST,
    ) -> None:
        self.folder = Path(folder)
        self._wait_s = wait_s
        self._trust = trust
        self._shelf = Shelf(self.folder / SHELF_NAME, trust)

    def install(self, bundle: str | os.PathLike[str]) -> Slot:
        """Verify a bundle and copy it into a slot, from which it is activated later.

        Args:
            bundle: a bundle directory or a `.realmnet` file.

        Raises:
            MissingPath: nothing is there.
            IntegrityError: it is not the bundle that was released, is not to be trusted, or the
                store is damaged.
            IncompatibleError: its version is below the highest that was ever active here, or
                cannot be compared with it.
            UsageError: the folder holds something else than a store.
            OutputError: it could not be written, or another command holds the store.
        """
        with Bundle.open(Path(bundle), trust=self._trust) as opened:
            slot = Slot.of(opened)
            self._make()
            with self._exclusive() as pointer:
                if pointer.is_downgrade(slot.version):
                    raise IncompatibleError(
                        f"bundle has {slot.model} {slot.version}; {pointer.highest} was active in "
                        f"this store and no version below it is installed: take a newer bundle, "
                        f"or go back to the previous slot with `realmnet slot rollback`"
                    )
                make_directory(self._shelf.folder)
                self._shelf.keep(opened, slot)
                self._point_to(pointer.installed(slot))
        return slot

    def activate(self, options: RunOptions = AS_TESTED) -> ProvenSlot:
        """Let the installed slot answer, once its self-test passed on this machine.

        A receipt that still holds is not made anew. Where nothing is installed that is not active
        already, it is the active slot that is looked at, and tested again where that is needed.

        Raises:
            MissingPath: there is no store.
            UsageError: nothing is installed, or as `Predictor.open`.
            GateFailed: the self-test failed; the slot that answered still does.
            BackendUnavailable, IncompatibleError: the bundle does not run here.
            IntegrityError: the bundle or the store is damaged.
            OutputError: it could not be written, or another command holds the store.
        """
        with self._exclusive() as pointer:
            slot = pointer.candidate or pointer.active
            if slot is None:
                raise UsageError(f"nothing is installed in '{self.folder}'; {_INSTALL}")
            tested = prove_slot(self._shelf, slot, options, anew=False)
            tested.receipt.require_passed(_after_failure(pointer, slot))
            if pointer.candidate is not None:
                self._point_to(pointer.activated())
        return tested

    def rollback(self, options: RunOptions = AS_TESTED) -> ProvenSlot:
        """Let the previous slot answer again, once its self-test passed; errors as `activate`.

        The slot it replaces is dropped; the highest version stays.
        """
        with self._exclusive() as pointer:
            slot = pointer.previous
            if slot is None:
                raise UsageError(f"'{self.folder}' has no previous slot to go back to; {_INSTALL}")
            tested = prove_slot(self._shelf, slot, options, anew=True)
            tested.receipt.require_passed(_after_failure(pointer, slot))
            self._point_to(pointer.rolled_back())
        return tested

    def prove(self, options: RunOptions = AS_TESTED) -> ProvenSlot:
        """Test the active slot and keep the receipt, passed or failed; errors as `activate`.

        A failed test raises nothing here, but keeps the slot from answering.
        """
        with self._exclusive() as pointer:
            slot = self._active_of(pointer)
            return prove_slot(self._shelf, slot, options, anew=True)

    def active(self) -> ProvenSlot:
        """The slot that answers, if its receipt vouches for this machine.

        The engine is not loaded, so that a change of its version or of the compiled form is not
        seen; `open` sees it.

        Raises:
            MissingPath: there is no store.
            IncompatibleError: no slot is active, or the machine or its libraries changed since.
            GateFailed: the slot's last self-test failed.
            IntegrityError: the pointer or the receipt is damaged.
        """
        return self._active_with_cure()[0]

    def open(self, *, cache: str | os.PathLike[str] | None = None) -> Predictor:
        """Open the active slot as it was tested: its variant, with as many threads.

        Args:
            cache: as for `Predictor.open`.

        Raises:
            GateFailed, IntegrityError, MissingPath: as `active`.
            BackendUnavailable: as `Predictor.open`.
            IncompatibleError: likewise, or the engine, its settings or the compiled form are no
                longer those that were tested.
        """
        active, cure = self._active_with_cure()
        options = RunOptions(cache=None if cache is None else Path(cache))
        predictor = open_slot(self._shelf, active.slot, options.as_tested(active.receipt))
        try:
            active.receipt.require_holds(Conditions.of(predictor), cure)
        except BaseException:
            predictor.close()
            raise
        return predictor

    def states(self) -> tuple[SlotState, ...]:
        """The slots: the active one first, then the previous one, then the candidate.

        Raises:
            MissingPath: there is no store.
            IntegrityError: the pointer is damaged.
        """
        pointer = self._read()
        roles: tuple[tuple[Role, Slot | None], ...] = (
            ("active", pointer.active),
            ("previous", pointer.previous),
            ("candidate", pointer.candidate),
        )
        return tuple(
            SlotState(role, slot, worth_of(self._shelf, slot))
            for role, slot in roles
            if slot is not None
        )

    @property
    def highest(self) -> str | None:
        """The highest version that was ever active; None where none was; errors as `states`."""
        return self._read().highest

    def _active_with_cure(self) -> tuple[ProvenSlot, str]:
        pointer = self._read()
        slot = self._active_of(pointer)
        # With another slot waiting, `slot activate` would not test this one but change to that.
        command = "slot activate" if pointer.candidate is None else "selftest"
        cure = f"test it here with `realmnet {command} --store '{self.folder}'`"
        receipt = self._shelf.receipt(slot)
        if receipt is None or receipt.conditions.bundle_sha256 != slot.bundle_sha256:
            raise IncompatibleError(f"slot {slot} has no receipt of its own; {cure}")
        receipt.require_passed(cure)
        receipt.require_same(receipt.conditions.fingerprint.changes(Fingerprint.here()), cure)
        return ProvenSlot(slot, self._shelf.bundle_path(slot), receipt), cure

    def _active_of(self, pointer: Pointer) -> Slot:
        if pointer.active is None:
            cure = "`realmnet slot activate` makes the installed one answer"
            raise IncompatibleError(
                f"no slot of '{self.folder}' is active; {cure if pointer.candidate else _INSTALL}"
            )
        return pointer.active

    def _read(self) -> Pointer:
        self._require_store()
        return read_pointer(self.folder)

    def _require_store(self) -> None:
        # A store without its pointer is a damaged store, which reading the pointer says.
        if not (self._has_pointer() or self._shelf.folder.is_dir()):
            raise MissingPath(f"no slot store in '{self.folder}'; {_INSTALL}")

    def _has_pointer(self) -> bool:
        return os.path.lexists(self.folder / POINTER_NAME)

    @contextmanager
    def _exclusive(self) -> Iterator[Pointer]:
        """The pointer, while no other command changes it; leftovers of killed ones are gone."""
        self._require_store()
        with exclusive(self.folder / LOCK_NAME, wait_s=self._wait_s):
            pointer = read_pointer(self.folder)
            self._sweep(pointer)
            yield pointer

    def _point_to(self, pointer: Pointer) -> None:
        write_pointer(self.folder, pointer)
        self._sweep(pointer)

    def _sweep(self, pointer: Pointer) -> None:
        sweep_temporaries(self.folder)
        self._shelf.sweep(pointer.slots)

    def _make(self) -> None:
        """An empty store, where there is none. Its pointer comes first, its slots only then."""
        if self._has_pointer():
            return
        self._require_free()
        make_directory(self.folder)
        with exclusive(self.folder / LOCK_NAME, wait_s=self._wait_s):
            if not self._has_pointer():
                self._require_free()
                write_pointer(self.folder, Pointer())

    def _require_free(self) -> None:
        if self._shelf.folder.is_dir():
            read_pointer(self.folder)
        if not self.folder.is_dir():
            return
        for path in self.folder.iterdir():
            if path.name not in {LOCK_NAME, POINTER_NAME} and not is_temporary(path):
                raise UsageError(
                    f"'{self.folder}' is no slot store and not empty; name a new folder"
                )


def _after_failure(pointer: Pointer, tested: Slot) -> str:
    if tested == pointer.active:
        return "it does not answer until a test passes: install another bundle or roll back"
    stays = f"slot {pointer.active} stays active" if pointer.active else "no slot is active"
    return f"{stays}: install another bundle"
