"""The files of the slots: `slots/<name>.realmnet` and, beside it, `slots/<name>.receipt.json`.

Every file is whole once it has its name, and no file is needed before the pointer names its slot.
So whatever the pointer does not name, an unfinished install among it, may go at any time.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.writer import SUFFIX, copy_bundle
from realmnet_runtime.errors import IntegrityError, MissingPath
from realmnet_runtime.files import is_temporary
from realmnet_runtime.proof.receipt import Receipt, read_receipt, write_receipt
from realmnet_runtime.signatures.signature import Signature
from realmnet_runtime.signatures.trust import ANY_BUNDLE, Trust
from realmnet_runtime.slots.pointer import NAME_DIGITS, Slot

RECEIPT_SUFFIX: Final = ".receipt.json"

_CURE: Final = "install it again with `realmnet slot install`, or go back with `slot rollback`"
_OURS: Final = re.compile(
    rf"[0-9a-f]{{{NAME_DIGITS}}}(?:{re.escape(SUFFIX)}|{re.escape(RECEIPT_SUFFIX)})"
)


class Shelf:
    """The folder of a store's slots.

    Args:
        folder: `slots` in the store.
        trust: whose bundles are opened.
    """

    def __init__(self, folder: Path, trust: Trust) -> None:
        self.folder = folder
        self.trust = trust

    def bundle_path(self, slot: Slot) -> Path:
        """Where a slot's bundle lies."""
        return self.folder / f"{slot.name}{SUFFIX}"

    def receipt_path(self, slot: Slot) -> Path:
        """Where a slot's receipt lies."""
        return self.folder / f"{slot.name}{RECEIPT_SUFFIX}"

    def keep(self, bundle: Bundle, slot: Slot) -> None:
        """Copy an open bundle into its slot, where it is not there already, sound, signed alike.

        Raises:
            IntegrityError: the bundle changed since it was opened.
            OutputError: it could not be written.
        """
        if not self._holds(slot, bundle.signature):
            copy_bundle(bundle, self.bundle_path(slot))

    def _holds(self, slot: Slot, signature: Signature | None) -> bool:
        try:
            with Bundle.open(self.bundle_path(slot), trust=ANY_BUNDLE) as kept:
                return (kept.digest, kept.signature) == (slot.bundle_sha256, signature)
        except (MissingPath, IntegrityError):
            return False

    @contextlib.contextmanager
    def explained(self, slot: Slot) -> Iterator[None]:
        """Faults of a slot's bundle, said with the slot and the cure: always IntegrityError."""
        try:
            yield
        except MissingPath as error:
            raise IntegrityError(f"slot {slot} has lost its bundle; {_CURE}") from error
        except IntegrityError as error:
            raise IntegrityError(f"slot {slot}: {error}; {_CURE}") from error

    def receipt(self, slot: Slot) -> Receipt | None:
        """The receipt of a slot's last self-test; None where there is none.

        Raises:
            IntegrityError: it is damaged.
        """
        try:
            return read_receipt(self.receipt_path(slot))
        except MissingPath:
            return None

    def sound_receipt(self, slot: Slot) -> Receipt | None:
        """As `receipt`; a damaged one counts as none."""
        try:
            return self.receipt(slot)
        except IntegrityError:
            return None

    def keep_receipt(self, slot: Slot, receipt: Receipt) -> None:
        """Put a receipt beside a slot's bundle; the one before goes.

        Raises:
            OutputError: it could not be written.
        """
        write_receipt(self.receipt_path(slot), receipt)

    def sweep(self, slots: Iterable[Slot]) -> None:
        """Delete the files of all other slots, and what killed commands left behind."""
        kept = {path for s in slots for path in (self.bundle_path(s), self.receipt_path(s))}
        for path in _listed(self.folder):
            if is_temporary(path) or (_OURS.fullmatch(path.name) and path not in kept):
                discard(path)


def sweep_temporaries(folder: Path) -> None:
    """Delete what killed commands left behind in a folder."""
    for path in _listed(folder):
        if is_temporary(path):
            discard(path)


def discard(path: Path) -> None:
    """Delete a file nobody needs; one that the system keeps, as another reads it, may stay."""
    with contextlib.suppress(OSError):
        path.unlink()


def _listed(folder: Path) -> Sequence[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return ()
