"""Signing a bundle that is there: its digest stays, and so does every other byte of it."""

from __future__ import annotations

import os
from pathlib import Path

from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import SIGNATURE_NAME
from realmnet_runtime.bundles.writer import SUFFIX, copy_bundle
from realmnet_runtime.errors import GateFailed, MissingPath, UsageError
from realmnet_runtime.files import cannot_write, sync_directory, temporary_beside
from realmnet_runtime.signatures.keys import PrivateKey
from realmnet_runtime.signatures.signature import Signature
from realmnet_runtime.signatures.trust import ANY_BUNDLE


def sign_bundle(path: str | os.PathLike[str], key: PrivateKey) -> Signature:
    """Check a bundle, sign its manifest and put the signature into it; an older one is replaced.

    A zip is written anew and takes the old one's place in one step; into a directory one file is
    moved. After a power cut it is signed or it is as it was.

    Args:
        path: bundle directory or `.realmnet` zip.
        key: of the releaser.

    Raises:
        MissingPath: nothing is there.
        IntegrityError: it is no whole bundle.
        IncompatibleError: its manifest has a schema version this runtime does not read.
        UsageError: a zip under a name without the suffix.
        OutputError: it could not be written; it is as it was.
        GateFailed: the signature made does not hold, as with a faulty machine.
    """
    place = Path(path)
    if place.is_dir():
        with Bundle.open(place, trust=ANY_BUNDLE) as bundle:
            signature = sign_manifest(bundle.raw_manifest, key)
        _move_into(place, signature)
        return signature
    if place.suffix != SUFFIX:
        raise UsageError(f"'{place}' is no directory and does not end in '{SUFFIX}'; rename it")
    # Read whole: a file that is open cannot be replaced on every system.
    with Bundle.open(_content(place), trust=ANY_BUNDLE) as bundle:
        signature = sign_manifest(bundle.raw_manifest, key)
        copy_bundle(bundle, place, compressed=bundle.compressed, signature=signature)
    return signature


def sign_manifest(raw_manifest: bytes, key: PrivateKey) -> Signature:
    """The signature of a manifest's bytes, verified.

    Raises:
        GateFailed: it does not hold.
    """
    signature = Signature(key.public.id, key.sign(raw_manifest))
    if not key.public.verifies(signature.value, raw_manifest):
        raise GateFailed("the signature just made does not verify; try another machine")
    return signature


def _content(place: Path) -> bytes:
    try:
        return place.read_bytes()
    except OSError as error:
        raise MissingPath(
            f"bundle '{place}' cannot be read: {error.strerror}; name a bundle directory or a "
            f"{SUFFIX} file"
        ) from error


def _move_into(directory: Path, signature: Signature) -> None:
    # Written beside the bundle: a half-written file inside would make it one that is refused.
    target = Path(os.path.realpath(directory))
    temporary = temporary_beside(target)
    try:
        try:
            with temporary.open("xb") as file:
                file.write(signature.line())
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target / SIGNATURE_NAME)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(target)
    except OSError as error:
        raise cannot_write(directory / SIGNATURE_NAME, error) from error
