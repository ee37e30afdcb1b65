"""`realmnet prepare`: compile a bundle once on the machine that will answer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from realmnet_runtime.backends import default_threads
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.default_bundle import find_default_bundle
from realmnet_runtime.cli.options import AllowUnsigned, JsonOption, TrustedKeys, trust_of
from realmnet_runtime.cli.outputs import print_json, say
from realmnet_runtime.cli.tables import facts_table, print_renderable
from realmnet_runtime.compiled.prepare import PreparedVariant, prepare_bundle
from realmnet_runtime.compiled.prepared import user_cache


def prepare(  # noqa: PLR0917 - the options of a command are all by name
    bundle: Annotated[
        Path | None, typer.Argument(help="Bundle; the installed default where none is named.")
    ] = None,
    engine: Annotated[str, typer.Option(help="auto for all, or one engine.")] = "auto",
    cache: Annotated[
        Path | None, typer.Option(help="Folder to keep it in; the user's cache by default.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads that will compute, as in `predict`.")
    ] = None,
    trusted_key: TrustedKeys = None,
    allow_unsigned: AllowUnsigned = False,
    json: JsonOption = False,
) -> None:
    """Compile every variant this machine can run, so that each later start is faster.

    Run it as the user who will predict, with the same number of threads; again after an update.
    """
    folder = user_cache() if cache is None else cache
    used = threads or default_threads()
    answers = []
    trust = trust_of(trusted_key, allow_unsigned=allow_unsigned)
    with Bundle.open(bundle or find_default_bundle(), trust=trust) as opened:
        for answer in prepare_bundle(opened, folder, engine=engine, threads=used):
            say(f"{answer.variant}: {answer.state}")
            answers.append(answer)
        digest = opened.digest
    if json:
        print_json(
            {
                "bundle_sha256": digest,
                "cache": str(folder),
                "threads": used,
                "variants": msgspec.to_builtins(answers),
            }
        )
    else:
        facts = {answer.variant: _in_words(answer) for answer in answers}
        print_renderable(facts_table({**facts, "cache": str(folder), "threads": str(used)}))


def _in_words(answer: PreparedVariant) -> str:
    words: list[str] = [answer.state]
    if answer.bytes:
        words.append(f"{answer.bytes / 1e6:.1f} MB")
    if answer.compile_ms:
        words.append(f"compiled in {answer.compile_ms:.0f} ms")
    if answer.load_ms:
        words.append(f"loads in {answer.load_ms:.0f} ms")
    if answer.note:
        words.append(answer.note)
    return ", ".join(words)
