"""Options that several verbs share: which bundle is opened, on whose word, and how it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from realmnet_runtime.trust import ANY_BUNDLE, Trust

BundleOption: TypeAlias = Annotated[
    Path | None, typer.Option("--bundle", help="Bundle; the installed default if none is named.")
]
EngineOption: TypeAlias = Annotated[
    str, typer.Option("--engine", help="auto, openvino or onnxruntime.")
]
VariantOption: TypeAlias = Annotated[
    str | None, typer.Option("--variant", help="Variant of the bundle, by name.")
]
ThreadsOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Most threads; physical cores up to 4 by default."),
]
CacheOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("--cache", help="Folder of `realmnet prepare`; the user's by default."),
]
RequirePrepared: TypeAlias = Annotated[
    bool, typer.Option("--require-prepared", help="Refuse (6) what was not prepared before.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="One JSON object.")]
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
    return Trust.of(*(trusted_key or ()), unsigned="allow" if allow_unsigned else "refuse")


def trust_to_examine(trusted_key: list[Path] | None, *, allow_unsigned: bool) -> Trust:
    """The same for a verb that examines a bundle: where no key is named it looks at any."""
    trust = trust_of(trusted_key, allow_unsigned=allow_unsigned)
    return trust if trust.keys else ANY_BUNDLE
