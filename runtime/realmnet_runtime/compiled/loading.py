"""A variant of a bundle, loaded into its engine: as prepared before, or compiled now."""

from __future__ import annotations

from pathlib import Path

import msgspec

from realmnet_runtime.backends import (
    BUILT_BEFORE,
    PREPARERS,
    Backend,
    EngineRequest,
    Preparer,
    load_preparer,
    open_backend,
    restore_backend,
)
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import Variant
from realmnet_runtime.compiled.prepared import (
    PreparedKey,
    PreparedRecord,
    PreparedStore,
    user_cache,
)
from realmnet_runtime.cpu import instruction_sets, processor_name
from realmnet_runtime.errors import IncompatibleError, IntegrityError, UsageError


class Loaded(msgspec.Struct, frozen=True):
    """A backend, and the one line that says whether it was compiled now and why.

    `prepared_sha256` is the digest of the compiled form it was given; None where it had none.
    """

    backend: Backend
    how: str
    prepared_sha256: str | None = None


def request_of(bundle: Bundle, variant: Variant, threads: int) -> EngineRequest:
    """How a variant of a bundle is to be run."""
    return EngineRequest(
        precision=variant.execution_precision,
        threads=threads,
        size=bundle.manifest.preprocess.size,
        labels=len(bundle.manifest.labels),
        in_memory=bundle.path is None,
    )


def key_of(bundle: Bundle, variant: Variant, threads: int, preparer: Preparer) -> PreparedKey:
    """What a variant's compiled form on this machine depends on."""
    return PreparedKey(
        bundle_sha256=bundle.digest,
        variant=variant.name,
        execution_precision=variant.execution_precision,
        engine=variant.engine,
        identity=preparer.identity(),
        processor=processor_name(),
        instruction_sets=tuple(sorted(instruction_sets())),
        threads=threads,
    )


def load_variant(
    bundle: Bundle,
    variant: Variant,
    threads: int,
    cache: Path | None,
    *,
    require_prepared: bool = False,
) -> Loaded:
    """Load a variant: what was prepared where it is there and sound, else compiled now.

    Args:
        bundle: open.
        variant: of the bundle.
        threads: most threads the engine computes with.
        cache: folder of `realmnet prepare`; None takes the user's.
        require_prepared: compile nothing.

    Raises:
        BackendUnavailable: the engine is absent.
        IntegrityError: the bundle is not the one that was released; where that is required, also
            what was prepared is not what it was.
        IncompatibleError: bundle, engine and CPU do not fit together, or nothing is prepared
            where that is required.
        UsageError: a cache was named, or required, for a bundle in memory.
    """
    request = request_of(bundle, variant, threads)
    if bundle.path is None and (cache is not None or require_prepared):
        raise no_cache()
    # A backend of the GPU compiles nothing: it runs what was built before, or refuses by itself.
    if require_prepared and variant.engine not in BUILT_BEFORE:
        return _load_prepared(bundle, variant, request, cache)
    if bundle.path is None:
        how = "compiled now: a bundle in memory keeps nothing on the disk"
    elif variant.engine not in PREPARERS:
        how = f"compiled now: {variant.engine} keeps nothing"
    else:
        try:
            restored = _restored(bundle, variant, request, cache)
        except (IncompatibleError, IntegrityError, UsageError) as error:
            how = f"compiled now: {error}"
        else:
            if restored is not None:
                backend, record = restored
                return Loaded(backend, "prepared before", record.sha256)
            how = "compiled now: not prepared; `realmnet prepare` does it once"
    model, weights = bundle.read_model(variant)
    backend = open_backend(variant.engine, model, request, variant.oldest_engine, weights)
    return Loaded(backend, how)


def no_cache() -> UsageError:
    """The error for keeping what was compiled of a bundle that may lie encrypted on the disk."""
    return UsageError(
        "a bundle in memory has no cache, which would hold its model in plain; open it without "
        "one, or prepare the bundle from its path"
    )


def _load_prepared(
    bundle: Bundle, variant: Variant, request: EngineRequest, cache: Path | None
) -> Loaded:
    if variant.engine not in PREPARERS:
        raise IncompatibleError(
            f"variant '{variant.name}' must be prepared before, and {variant.engine} keeps nothing "
            f"that it compiles; take an engine that does ({', '.join(PREPARERS)}), or let it "
            f"compile at every start"
        )
    restored = _restored(bundle, variant, request, cache)
    if restored is None:
        raise IncompatibleError(
            f"variant '{variant.name}' was not prepared for this bundle, engine, processor and "
            f"{request.threads} threads; run `realmnet prepare` as this user, with the same threads"
        )
    backend, record = restored
    return Loaded(backend, "prepared before, as required", record.sha256)


def restore_verified(
    store: PreparedStore, key: PreparedKey, request: EngineRequest, oldest_engine: str
) -> tuple[Backend, PreparedRecord] | None:
    """The backend of what was prepared under a key, and its record; None where nothing was.

    Raises:
        IntegrityError: there is something that must not be loaded.
        IncompatibleError: the engine refuses it, or runs it otherwise than when it was compiled.
    """
    found = store.find(key)
    if found is None:
        return None
    record, compiled = found
    backend = restore_backend(key.engine, compiled, request, oldest_engine)
    facts = msgspec.structs.replace(backend.facts, prepared=record.facts.prepared)
    if facts != record.facts:
        backend.close()
        raise IncompatibleError(
            f"{key.engine} runs what was prepared otherwise than when it compiled it "
            f"({facts.products}, {facts.settings}); run `realmnet prepare` again"
        )
    return backend, record


def _restored(
    bundle: Bundle, variant: Variant, request: EngineRequest, cache: Path | None
) -> tuple[Backend, PreparedRecord] | None:
    key = key_of(bundle, variant, request.threads, load_preparer(variant.engine))
    store = PreparedStore(user_cache() if cache is None else cache)
    return restore_verified(store, key, request, variant.oldest_engine)
