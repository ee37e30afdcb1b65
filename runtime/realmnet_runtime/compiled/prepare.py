"""Compiling once, on the machine that will answer, what every start would compile again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np

from realmnet_runtime.answering.selection import AUTO, runs_on
from realmnet_runtime.backends import (
    PREPARERS,
    Backend,
    EngineRequest,
    installed_engines,
    known_engine,
    load_preparer,
    require_new_enough,
)
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import Variant
from realmnet_runtime.compiled.loading import key_of, no_cache, request_of, restore_verified
from realmnet_runtime.compiled.prepared import PreparedStore
from realmnet_runtime.cpu import instruction_sets
from realmnet_runtime.errors import GateFailed, IncompatibleError, IntegrityError

LARGEST_DIFFERENCE: Final = 1e-4
"""Between a compiled form's logits and scores and those of the model it was compiled from."""

State = Literal["prepared", "kept", "skipped"]


class PreparedVariant(msgspec.Struct, frozen=True):
    """What became of one variant.

    Attributes:
        variant: name in the bundle.
        engine: which runs it.
        state: `prepared` now, `kept` as it was before, or `skipped`.
        note: why; empty where nothing needs saying.
        bytes: of the compiled form, 0 where skipped.
        compile_ms: wall-clock time to read and compile the model, 0 where it was not compiled.
        load_ms: wall-clock time to load the compiled form, 0 where skipped.
    """

    variant: str
    engine: str
    state: State
    note: str = ""
    bytes: int = 0
    compile_ms: float = 0.0
    load_ms: float = 0.0


def prepare_bundle(
    bundle: Bundle, folder: Path, *, engine: str = AUTO, threads: int
) -> Iterator[PreparedVariant]:
    """Compile every variant that this machine can run, one by one, and keep what was compiled.

    What was prepared before and is sound is kept; what is damaged, or was compiled by another
    engine build or for another processor, is compiled again.

    Args:
        bundle: open.
        folder: of compiled forms; made for this user alone.
        engine: `auto` for all, or the name of one.
        threads: with which the engines will compute.

    Yields:
        One answer for each variant of the engine, in the manifest's order.

    Raises:
        UsageError: no such engine, one that compiles nothing that can be kept, or a bundle in
            memory.
        BackendUnavailable: the engine asked for is absent.
        IncompatibleError: bundle, engine and CPU do not fit together.
        IntegrityError: the bundle changed, or others may enter the folder.
        GateFailed: a compiled form answers otherwise than its model; it is not kept.
        OutputError: a file could not be written.
    """
    if bundle.path is None:
        raise no_cache()
    if engine != AUTO:
        load_preparer(known_engine(engine))
    store = PreparedStore(folder)
    for variant in bundle.manifest.variants:
        if engine in {AUTO, variant.engine}:
            obstacle = _obstacle(variant)
            if obstacle:
                yield PreparedVariant(variant.name, variant.engine, "skipped", obstacle)
            else:
                yield _prepare(bundle, variant, store, threads)


def _obstacle(variant: Variant) -> str:
    """Why a variant is not prepared here; empty where it is."""
    if variant.engine not in PREPARERS:
        return f"{variant.engine} keeps nothing that it compiles"
    if variant.engine not in installed_engines():
        return f"{variant.engine} is not installed"
    if not runs_on(variant, instruction_sets()):
        return f"this CPU lacks {' or '.join(variant.cpu_requires)}"
    return ""


def _prepare(
    bundle: Bundle, variant: Variant, store: PreparedStore, threads: int
) -> PreparedVariant:
    request = request_of(bundle, variant, threads)
    preparer = load_preparer(variant.engine)
    key = key_of(bundle, variant, threads, preparer)
    begin = time.perf_counter()
    note = ""
    try:
        kept = restore_verified(store, key, request, variant.oldest_engine)
    except (IncompatibleError, IntegrityError) as error:
        note, kept = f"made anew: {error}", None
    if kept is not None:
        loaded, found = kept
        loaded.close()
        return PreparedVariant(
            variant.name,
            variant.engine,
            "kept",
            bytes=found.size,
            load_ms=_ms_since(begin),
        )
    begin = time.perf_counter()
    model, weights = bundle.read_model(variant)
    backend, compiled = preparer.prepare(model, request, weights)
    compile_ms = _ms_since(begin)
    require_new_enough(variant.engine, backend, variant.oldest_engine)
    begin = time.perf_counter()
    restored = preparer.restore(compiled, request)
    load_ms = _ms_since(begin)
    _require_same_answers(variant, backend, restored, request)
    record = store.keep(key, compiled, backend.facts)
    backend.close()
    restored.close()
    return PreparedVariant(
        variant.name, variant.engine, "prepared", note, record.size, compile_ms, load_ms
    )


def _require_same_answers(
    variant: Variant, backend: Backend, restored: Backend, request: EngineRequest
) -> None:
    tensor = np.random.default_rng(0).random((1, 3, request.size, request.size), np.float32)
    for expected, found in zip(backend.infer(tensor), restored.infer(tensor), strict=True):
        largest = float(np.abs(expected - found).max())
        if not largest <= LARGEST_DIFFERENCE:
            raise GateFailed(
                f"variant '{variant.name}' as compiled by {variant.engine} answers otherwise by "
                f"{largest:.2e} once it is loaded again; {LARGEST_DIFFERENCE:.0e} is allowed: use "
                f"it without preparing, and report the engine's version"
            )


def _ms_since(begin: float) -> float:
    return (time.perf_counter() - begin) * 1e3
