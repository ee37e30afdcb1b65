"""`realmnet selftest`: the golden cases of a bundle, run here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_runtime.cli.outputs import print_json
from realmnet_runtime.cli.tables import facts_table, print_renderable
from realmnet_runtime.cli.trust import AllowUnsigned, TrustedKeys, trust_of
from realmnet_runtime.predictor import Predictor
from realmnet_runtime.selftest import SelfTestReport, run_selftest


def selftest(  # noqa: PLR0917 - the options of a command are all by name
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle; the installed default where none is named.")
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, openvino or onnxruntime.")] = "auto",
    variant: Annotated[str | None, typer.Option(help="Variant of the bundle, by name.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Most threads.")] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of `realmnet prepare`; the user's by default.")
    ] = None,
    trusted_key: TrustedKeys = None,
    allow_unsigned: AllowUnsigned = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Run the golden cases on this machine, stage by stage. Exit code 4 where one deviates."""
    with Predictor.open(
        bundle,
        engine=engine,
        threads=threads,
        variant=variant,
        cache=cache,
        trust=trust_of(trusted_key, allow_unsigned=allow_unsigned),
    ) as predictor:
        report = run_selftest(predictor)
    if json:
        print_json(_as_json(report))
    else:
        print_renderable(facts_table(_facts(report)))
    report.require_passed()


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
