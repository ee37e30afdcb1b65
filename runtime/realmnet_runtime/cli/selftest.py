"""`realmnet selftest`: the golden cases of a bundle, run here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.answering.selection import AUTO
from realmnet_runtime.cli.options import (
    AllowUnsigned,
    CacheOption,
    EngineOption,
    JsonOption,
    ThreadsOption,
    TrustedKeys,
    VariantOption,
    trust_of,
)
from realmnet_runtime.cli.outputs import print_json, require_writable_file
from realmnet_runtime.cli.tables import facts_table, print_renderable, receipt_facts
from realmnet_runtime.errors import UsageError
from realmnet_runtime.proof.receipt import Receipt, receipt_of, write_receipt
from realmnet_runtime.proof.selftest import SelfTestReport, run_selftest
from realmnet_runtime.slots import RunOptions, SlotStore


def selftest(  # noqa: PLR0917 - the options of a command are all by name
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle; the installed default where none is named.")
    ] = None,
    engine: EngineOption = AUTO,
    variant: VariantOption = None,
    threads: ThreadsOption = None,
    cache: CacheOption = None,
    receipt: Annotated[
        Path | None, typer.Option(help="Write a receipt to this file, passed or failed.")
    ] = None,
    store: Annotated[
        Path | None,
        typer.Option(help="Test the active slot of this store instead, and renew its receipt."),
    ] = None,
    trusted_key: TrustedKeys = None,
    allow_unsigned: AllowUnsigned = False,
    json: JsonOption = False,
) -> None:
    """Run the golden cases on this machine, stage by stage. Exit code 4 where one deviates."""
    trust = trust_of(trusted_key, allow_unsigned=allow_unsigned)
    if receipt is not None:
        require_writable_file(receipt)
    if store is not None:
        if bundle is not None:
            raise UsageError(f"--store tests its active slot, and '{bundle}' was named; name one")
        options = RunOptions(None if engine == AUTO else engine, variant, threads, cache)
        _answer(SlotStore(store, trust=trust).prove(options).receipt, receipt, json=json)
        return
    with Predictor.open(
        bundle, engine=engine, threads=threads, variant=variant, cache=cache, trust=trust
    ) as predictor:
        report = run_selftest(predictor)
        if receipt is not None:
            write_receipt(receipt, receipt_of(predictor, report))
    if json:
        print_json(_as_json(report))
    else:
        print_renderable(facts_table(_facts(report)))
    report.require_passed()


def _answer(found: Receipt, path: Path | None, *, json: bool) -> None:
    """Print a slot's receipt, and write it where a file is named."""
    if path is not None:
        write_receipt(path, found)
    if json:
        print_json(msgspec.to_builtins(found))
    else:
        print_renderable(facts_table(receipt_facts(found)))
    found.require_passed("the slot does not answer until a test passes")


def _as_json(report: SelfTestReport) -> dict[str, object]:
    return {
        "passed": not report.failures,
        "largest": report.largest,
        "failures": report.failures,
        **msgspec.to_builtins(report),
    }


def _facts(report: SelfTestReport) -> dict[str, str]:
    return {
        "self-test": "failed" if report.failures else "passed",
        "run by": f"{report.engine} {report.engine_version}, {report.variant}, {report.precision}",
        "golden cases": str(report.cases),
        "largest deviations": ", ".join(f"{k} {v:.3g}" for k, v in report.largest.items()),
        "failures": "\n".join(report.failures) or "none",
    }
