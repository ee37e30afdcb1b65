"""Options of every verb that opens a bundle: whose bundles are opened."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from realmnet_runtime.trust import Trust

TrustedKeys: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--trusted-key",
        help="Public key (.pem), or a folder of them; repeatable. The bundle must be signed.",
    ),
]
AllowUnsigned: TypeAlias = Annotated[
    bool, typer.Option("--allow-unsigned", help="Open a bundle that nobody signed all the same.")
]


def trust_of(trusted_key: list[Path] | None, *, allow_unsigned: bool) -> Trust:
    """What the two options say; errors as `Trust.of`."""
    return Trust.of(*(trusted_key or ()), unsigned="allow" if allow_unsigned else None)
