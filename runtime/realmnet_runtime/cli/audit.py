"""`realmnet audit`: verify the log of answers, and continue it in another file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_runtime.audit import AuditReport, rotate, verify_logs
from realmnet_runtime.cli.options import JsonOption
from realmnet_runtime.cli.outputs import emit, print_json, say
from realmnet_runtime.cli.tables import facts_table, print_renderable

audit = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@audit.callback()
def _audit() -> None:
    """Verify and continue the hash-chained log that `realmnet predict --audit` writes."""


@audit.command()
def verify(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Files of one log, oldest first.")
    ],
    expect: Annotated[
        str | None, typer.Option(help="Digest of a line, noted elsewhere, that must be there.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check every line. Exit code 5 where the chain is broken; the first bad line is named.

    Lines missing at the end cannot be seen from the log alone: note the head, and --expect it.
    """
    report = verify_logs(files, expect)
    if report.torn_bytes:
        say(
            f"the last line is not finished ({report.torn_bytes} bytes), as after a power cut; "
            f"the next append sets it aside"
        )
    if json:
        print_json(msgspec.to_builtins(report))
    else:
        print_renderable(facts_table(_facts(report)))


@audit.command(name="rotate")
def rotate_log(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="Log to close.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="File that continues it.")],
) -> None:
    """Close a log and begin the file that continues its chain; print the closed file's head."""
    emit(f"{rotate(old, new)}  {old}\n")


def _facts(report: AuditReport) -> dict[str, object]:
    facts: dict[str, object] = {
        "audit log": "holds",
        "records": f"{report.records} in {report.files} file{'s' if report.files > 1 else ''}",
        "answers": report.answers,
        "refusals": report.refusals,
        "head": report.head,
        "continues": report.continues or "no other log",
        "torn lines set aside": report.set_aside,
        "not finished at the end": f"{report.torn_bytes} bytes",
    }
    if report.noted_at is not None:
        facts["digest expected"] = f"at line {report.noted_at}"
    return facts
