"""Running a slot as it was tested, and testing it where it will run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.answering.selection import AUTO
from realmnet_runtime.errors import IntegrityError
from realmnet_runtime.proof.conditions import Conditions, Fingerprint
from realmnet_runtime.proof.receipt import Receipt, prove
from realmnet_runtime.slots.pointer import Slot
from realmnet_runtime.slots.shelf import Shelf


@dataclass(frozen=True)
class RunOptions:
    """How a slot is to be run; what is None is as in its last receipt, else left to the bundle.

    Attributes:
        engine: as for `Predictor.open`; `auto` lets the bundle choose anew.
        variant: by name.
        threads: most threads.
        cache: folder of `realmnet prepare`.
    """

    engine: str | None = None
    variant: str | None = None
    threads: int | None = None
    cache: Path | None = None

    def as_tested(self, receipt: Receipt | None) -> RunOptions:
        """These options, with what they leave open taken from a receipt."""
        if receipt is None:
            return self
        tested = receipt.conditions
        free = self.engine is None and self.variant is None
        return replace(
            self,
            variant=tested.variant if free else self.variant,
            threads=tested.engine.threads if self.threads is None else self.threads,
        )


@dataclass(frozen=True)
class ProvenSlot:
    """A slot, where its bundle lies, and the receipt of its last self-test."""

    slot: Slot
    bundle: Path
    receipt: Receipt


def open_slot(shelf: Shelf, slot: Slot, options: RunOptions) -> Predictor:
    """Open a slot's bundle, wholly verified, with one of its variants.

    Raises:
        IntegrityError: the bundle is gone, damaged, another one or not to be trusted.
        UsageError, BackendUnavailable, IncompatibleError: as `Predictor.open`.
    """
    with shelf.explained(slot):
        predictor = Predictor.open(
            shelf.bundle_path(slot),
            engine=options.engine or AUTO,
            variant=options.variant,
            threads=options.threads,
            cache=options.cache,
            trust=shelf.trust,
        )
        if predictor.bundle.digest != slot.bundle_sha256:
            predictor.close()
            raise IntegrityError("its file is another bundle")
    return predictor


def prove_slot(shelf: Shelf, slot: Slot, options: RunOptions, *, anew: bool) -> ProvenSlot:
    """The receipt of a slot: as it is where it still holds, else by a self-test now, and kept.

    Args:
        shelf: of the store.
        slot: on it.
        options: how it is to be run.
        anew: test even where the receipt holds.

    Raises:
        GateFailed: the bundle has no golden cases.
        OutputError: the receipt could not be kept.
        IntegrityError, UsageError, BackendUnavailable, IncompatibleError: as `open_slot`.
    """
    receipt = shelf.sound_receipt(slot)
    with open_slot(shelf, slot, options.as_tested(receipt)) as predictor:
        if anew or receipt is None or not receipt.still_holds(Conditions.of(predictor)):
            receipt = prove(predictor)
            shelf.keep_receipt(slot, receipt)
    return ProvenSlot(slot, shelf.bundle_path(slot), receipt)


def worth_of(shelf: Shelf, slot: Slot) -> str:
    """What a slot's receipt is worth, in words, as far as can be told without its engine."""
    try:
        receipt = shelf.receipt(slot)
    except IntegrityError:
        return "damaged"
    if receipt is None:
        return "none"
    if not receipt.passed:
        return "failed"
    changes = receipt.conditions.fingerprint.changes(Fingerprint.here())
    return f"no longer holds: {'; '.join(changes)}" if changes else "passed"
