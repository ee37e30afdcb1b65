"""`realmnet bundle`: verify, inspect and sign bundles, make keys; the runtime suffices for all."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.cli.options import AllowUnsigned, JsonOption, TrustedKeys, trust_to_examine
from realmnet_runtime.cli.outputs import emit, print_json
from realmnet_runtime.errors import MissingPath, UsageError
from realmnet_runtime.signatures.keys import LARGEST_KEY_BYTES, generate_key_pair, read_private_key
from realmnet_runtime.signatures.signing import sign_bundle
from realmnet_runtime.signatures.trust import ANY_BUNDLE

BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="Directory or .realmnet file.")]
PassphraseFile = Annotated[
    Path | None, typer.Option(help="File whose first line is the key's passphrase.")
]
AskPassphrase = Annotated[
    bool, typer.Option("--ask-passphrase", help="Ask for the key's passphrase.")
]

bundle = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@bundle.callback()
def _bundle() -> None:
    """Verify, inspect and sign bundles."""


@bundle.command()
def verify(
    path: BundlePath,
    trusted_key: TrustedKeys = None,
    allow_unsigned: AllowUnsigned = False,
    json: JsonOption = False,
) -> None:
    """Check every byte of a bundle against its manifest, and its signature; print its digest.

    Exit code 5 where anything does not hold.
    """
    trust = trust_to_examine(trusted_key, allow_unsigned=allow_unsigned)
    with Bundle.open(path, trust=trust) as opened:
        if json:
            print_json(
                {
                    "bundle_sha256": opened.digest,
                    "signature": msgspec.to_builtins(opened.standing),
                }
            )
        else:
            emit(f"{opened.digest}  {path}\n{opened.standing}\n")


@bundle.command()
def inspect(path: BundlePath) -> None:
    """Print a bundle's manifest, as it is stored, after checking every byte."""
    with Bundle.open(path, trust=ANY_BUNDLE) as opened:
        emit(opened.raw_manifest.decode())


@bundle.command()
def keygen(
    private: Annotated[
        Path, typer.Argument(metavar="PRIVATE", help="PEM file to write, mode 600.")
    ],
    public: Annotated[Path, typer.Argument(metavar="PUBLIC", help="PEM file to write.")],
    passphrase_file: PassphraseFile = None,
    ask_passphrase: AskPassphrase = False,
) -> None:
    """Make an Ed25519 key: PRIVATE signs bundles, PUBLIC goes to those who open them."""
    secret = _passphrase(passphrase_file, ask=ask_passphrase, confirm=True)
    emit(f"{generate_key_pair(private, public, secret).id}  {public}\n")


@bundle.command()
def sign(
    path: BundlePath,
    key: Annotated[Path, typer.Option(help="Private key of `realmnet bundle keygen`.")],
    passphrase_file: PassphraseFile = None,
    ask_passphrase: AskPassphrase = False,
) -> None:
    """Check a bundle and sign it in its place; its digest stays."""
    private = read_private_key(key, _passphrase(passphrase_file, ask=ask_passphrase))
    signature = sign_bundle(path, private)
    emit(f"{path}\nsigned by {signature.key_id}\n")


def _passphrase(file: Path | None, *, ask: bool, confirm: bool = False) -> bytes | None:
    """A passphrase comes from a file or a person, never from the command line others can list."""
    if file is not None and ask:
        raise UsageError("a passphrase was to be asked for and to be read; give one of the two")
    if ask:
        answer: str = typer.prompt(
            "passphrase", hide_input=True, confirmation_prompt=confirm, err=True
        )
        return answer.encode()
    if file is None:
        return None
    try:
        with file.open("rb") as stream:
            first = stream.readline(LARGEST_KEY_BYTES)
    except OSError as error:
        raise MissingPath(f"passphrase file '{file}' cannot be read: {error.strerror}") from error
    secret = first.rstrip(b"\r\n")
    if not secret:
        raise UsageError(f"passphrase file '{file}' has an empty first line; put it there")
    return secret
