"""`realmnet slot`: bundles on a device, installed, proved, activated and rolled back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_runtime.cli.options import (
    AllowUnsigned,
    CacheOption,
    JsonOption,
    ThreadsOption,
    TrustedKeys,
    VariantOption,
    grouped,
    trust_of,
)
from realmnet_runtime.cli.outputs import print_json
from realmnet_runtime.cli.tables import facts_table, print_renderable, receipt_facts
from realmnet_runtime.slots import ProvenSlot, RunOptions, SlotState, SlotStore

Store = Annotated[Path, typer.Option(help="Folder of the store.")]
Engine = Annotated[
    str | None,
    typer.Option(help="auto, openvino or onnxruntime; as in the slot's last test by default."),
]


@dataclass(frozen=True)
class Proof:
    """What a slot is tested with before it answers: the options of `activate` and `rollback`."""

    store: Store
    engine: Engine = None
    variant: VariantOption = None
    threads: ThreadsOption = None
    cache: CacheOption = None
    trusted_key: TrustedKeys = None
    allow_unsigned: AllowUnsigned = False

    @property
    def opened(self) -> SlotStore:
        """The store."""
        trust = trust_of(self.trusted_key, allow_unsigned=self.allow_unsigned)
        return SlotStore(self.store, trust=trust)

    @property
    def options(self) -> RunOptions:
        """How the slot is run."""
        return RunOptions(self.engine, self.variant, self.threads, self.cache)


slot = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@slot.callback()
def _slot() -> None:
    """Install bundles on a device and let one answer only after its self-test passed here."""


@slot.command()
def install(
    bundle: Annotated[Path, typer.Argument(help="Bundle to install.")],
    store: Store,
    trusted_key: TrustedKeys = None,
    allow_unsigned: AllowUnsigned = False,
    json: JsonOption = False,
) -> None:
    """Verify a bundle and copy it into a slot; `activate` makes it answer.

    Exit code 6 where its version is below the highest that was ever active in the store.
    """
    trust = trust_of(trusted_key, allow_unsigned=allow_unsigned)
    installed = SlotStore(store, trust=trust).install(bundle)
    if json:
        print_json(msgspec.to_builtins(installed))
    else:
        print_renderable(facts_table({"installed": str(installed), "store": str(store)}))


@slot.command()
@grouped
def activate(proof: Proof, json: JsonOption = False) -> None:
    """Test the installed slot on this machine and let it answer.

    With nothing newly installed, the active slot is tested again where its receipt no longer
    holds. Exit code 4 where the test fails; the slot that answered then still does.
    """
    _show(proof.opened.activate(proof.options), json=json)


@slot.command()
@grouped
def rollback(proof: Proof, json: JsonOption = False) -> None:
    """Test the previous slot on this machine and let it answer again; the present one goes."""
    _show(proof.opened.rollback(proof.options), json=json)


@slot.command(name="list")
def list_slots(store: Store, json: JsonOption = False) -> None:
    """List the slots, and what their receipts are worth as far as can be told without an engine."""
    opened = SlotStore(store)
    states, highest = opened.states(), opened.highest
    if json:
        print_json({"highest": highest, "slots": [_as_json(state) for state in states]})
        return
    facts: dict[str, str] = {
        state.role: f"{state.slot}, self-test {state.receipt}" for state in states
    }
    print_renderable(facts_table({**facts, "highest version": highest or "none was active"}))


def _show(proven: ProvenSlot, *, json: bool) -> None:
    if json:
        print_json(
            {
                "active": msgspec.to_builtins(proven.slot),
                "receipt": msgspec.to_builtins(proven.receipt),
            }
        )
    else:
        print_renderable(facts_table({"active": str(proven.slot), **receipt_facts(proven.receipt)}))


def _as_json(state: SlotState) -> dict[str, object]:
    return {"role": state.role, **msgspec.to_builtins(state.slot), "receipt": state.receipt}
