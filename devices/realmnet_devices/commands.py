"""`realmnet devices`: what machines are."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from realmnet_devices.probe import Host, probe_host

devices = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@devices.callback()
def _devices() -> None:
    """Describe the machines bundles run on."""


@devices.command()
def probe(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print what this machine is: CPU, instruction sets, memory, and engines that truly load."""
    host = probe_host()
    text = msgspec.json.format(msgspec.json.encode(host), indent=2).decode()
    typer.echo(text if as_json else describe(host))


def describe(host: Host) -> str:
    """A table of a host for people, one fact a line."""
    physical = "unknown" if host.physical_cores is None else str(host.physical_cores)
    rows = [
        ("processor", host.processor),
        ("architecture", host.architecture),
        (
            "cores",
            f"{physical} physical, {host.logical_cores} logical, {host.usable_cores} usable here",
        ),
        ("instruction sets", " ".join(host.instruction_sets) or "none known"),
        ("INT8 dot product", "yes" if host.multiplies_int8 else "no"),
        ("memory", f"{host.memory_mib:,} MiB"),
        ("system", host.system),
        ("python", host.python),
        *((engine.name, engine.version or f"absent: {engine.fault}") for engine in host.engines),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
