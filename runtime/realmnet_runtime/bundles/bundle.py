"""The bundle: one released model with everything needed to run it and to check it.

A directory or one `.realmnet` zip with the same files in either:

* `manifest.json`, and `manifest.sha256` with its digest in the form `sha256sum -c` reads;
* `manifest.sig`, the releaser's signature of the manifest, where the bundle is signed;
* the artifacts the manifest lists, and nothing else: an unlisted file is refused, because nobody
  vouches for it.

The digests find damage and mix-ups. Against someone who rewrites files and digests alike there is
the signature, which is checked before anything is parsed where a key is given (`Trust`).
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeAlias, final

from realmnet_runtime.bundles.manifest import (
    LARGEST_MANIFEST_BYTES,
    MANIFEST_DIGEST_NAME,
    MANIFEST_NAME,
    SIGNATURE_NAME,
    Artifact,
    Engine,
    Manifest,
    Variant,
    digest_line,
    read_manifest,
)
from realmnet_runtime.bundles.stores import IN_MEMORY, Store, open_memory, open_store, refusal
from realmnet_runtime.errors import (
    ConfigurationError,
    IncompatibleError,
    IntegrityError,
)
from realmnet_runtime.files import CHUNK_BYTES, sha256_of
from realmnet_runtime.signatures.signature import SIGNATURE_BYTES, Signature, decode_signature
from realmnet_runtime.signatures.trust import DEFAULT_TRUST, Trust
from realmnet_runtime.suggestions import nearest

BundleSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A path, or a zip in memory."""


@final
class Bundle:
    """A bundle whose every byte was checked; a context manager.

    Attributes:
        path: where it was opened; None of a zip in memory.
        manifest: what it says of itself.
        raw_manifest: the bytes of `manifest.json`.
        digest: SHA-256 of `raw_manifest` in hex: the bundle's identity, the same for its
            directory and zip form, signed or not.
        signature: of `manifest.sig`; None where it is not signed.
        standing: on whose word it was opened, and so whether the signature was checked.
    """

    __slots__ = (
        "_artifacts",
        "_name",
        "_store",
        "digest",
        "manifest",
        "path",
        "raw_manifest",
        "signature",
        "standing",
    )

    def __init__(self, source: BundleSource, trust: Trust = DEFAULT_TRUST) -> None:
        self.path = Path(source) if isinstance(source, str | os.PathLike) else None
        self._name: Path | str = self.path or IN_MEMORY
        self._store = open_store(self.path) if self.path else open_memory(source)
        try:
            self.raw_manifest = self._read_manifest_bytes(self._store)
            self.digest = sha256_of(self.raw_manifest)
            self.signature = self._read_signature(self._store)
            # Before anything is parsed: what nobody trusted wrote meets no parser.
            self.standing = trust.judge(self._name, self.raw_manifest, self.signature)
            self.manifest = self._decode_manifest()
            self._artifacts = {artifact.path: artifact for artifact in self.manifest.artifacts}
            self._require_same_listing(self._store)
            for artifact in self.manifest.artifacts:
                self._verified(artifact, keep=False)
        except BaseException:
            self._store.close()
            raise

    @classmethod
    def open(cls, source: BundleSource, *, trust: Trust = DEFAULT_TRUST) -> Bundle:
        """Open a bundle; its signature and every digest are checked before it returns.

        Args:
            source: path of a bundle directory or a `.realmnet` zip; or such a zip as bytes or as
                a binary file that stays open and the caller's, for bundles that lie encrypted on
                the disk. Of a bundle in memory nothing is ever written, nor kept by
                `realmnet prepare`.
            trust: whose bundles are opened; by default those alone whose digest an installed
                package carries, as the toolkit's demonstration.

        Raises:
            MissingPath: nothing is there.
            IntegrityError: it is no bundle, it is unsafe, a file is missing, unlisted or altered,
                or it is not of those who are trusted.
            IncompatibleError: its manifest has a schema version this runtime does not read.
            UsageError: what was given is no path, no bytes and no binary file.
        """
        return cls(source, trust)

    def read(self, path: str) -> bytes:
        """Bytes of a listed artifact, checked again: the disk may have changed since opening.

        Raises:
            ConfigurationError: the manifest lists no such artifact.
            IntegrityError: the bytes are no longer those of the manifest, or the bundle is closed.
        """
        try:
            artifact = self._artifacts[path]
        except KeyError:
            raise ConfigurationError(
                f"bundle has no file '{path}'; it has {', '.join(sorted(self._artifacts))}"
                f"{nearest(path, self._artifacts)}"
            ) from None
        return self._verified(artifact, keep=True)

    def read_model(self, variant: Variant) -> tuple[bytes, bytes]:
        """Bytes of a variant's model and of its second file (empty where it has one file only).

        Raises:
            ConfigurationError, IntegrityError: as `read`.
        """
        return self.read(variant.artifact), self.read(variant.weights) if variant.weights else b""

    def variant(self, name: str) -> Variant:
        """The variant of that name; ConfigurationError where there is none."""
        return self.manifest.variant(name)

    def variants_for(self, engine: Engine) -> tuple[Variant, ...]:
        """The variants an engine runs, in the manifest's order; empty where there are none."""
        return tuple(v for v in self.manifest.variants if v.engine == engine)

    @property
    def compressed(self) -> bool:
        """Whether its zip holds deflated entries."""
        return self._store.compressed

    def close(self) -> None:
        """Let go of the file; `read` of a zip is refused afterwards."""
        self._store.close()

    def __enter__(self) -> Bundle:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        model = self.manifest.model
        return f"Bundle({str(self._name)!r}, {model.name} {model.version}, {self.digest[:12]})"

    def _read_manifest_bytes(self, store: Store) -> bytes:
        for name in (MANIFEST_NAME, MANIFEST_DIGEST_NAME):
            if name not in store.sizes:
                raise refusal(self._name, f"it has no '{name}', so it is no whole bundle")
            size = store.sizes[name]
            if size > LARGEST_MANIFEST_BYTES:
                raise refusal(
                    self._name, f"'{name}' holds {size} bytes; {LARGEST_MANIFEST_BYTES} are allowed"
                )
        raw = b"".join(store.chunks(MANIFEST_NAME))
        if b"".join(store.chunks(MANIFEST_DIGEST_NAME)) != digest_line(raw):
            raise refusal(
                self._name, f"'{MANIFEST_NAME}' is not what '{MANIFEST_DIGEST_NAME}' says it is"
            )
        return raw

    def _read_signature(self, store: Store) -> Signature | None:
        size = store.sizes.get(SIGNATURE_NAME)
        if size is None:
            return None
        # One byte more shows a file that grew since it was listed.
        raw = next(store.chunks(SIGNATURE_NAME, SIGNATURE_BYTES + 1), b"")
        signature = decode_signature(raw) if size == SIGNATURE_BYTES else None
        if signature is None:
            raise refusal(
                self._name,
                f"its '{SIGNATURE_NAME}' of {size} bytes is no signature, which has "
                f"{SIGNATURE_BYTES}",
            )
        return signature

    def _decode_manifest(self) -> Manifest:
        try:
            return read_manifest(self.raw_manifest)
        except IntegrityError as error:
            raise IntegrityError(f"bundle '{self._name}': {error}") from error
        except IncompatibleError as error:
            raise IncompatibleError(f"bundle '{self._name}': {error}") from error

    def _require_same_listing(self, store: Store) -> None:
        present = store.sizes.keys() - {MANIFEST_NAME, MANIFEST_DIGEST_NAME, SIGNATURE_NAME}
        if missing := sorted(self._artifacts.keys() - present):
            raise refusal(self._name, f"'{missing[0]}' is missing; its manifest lists it")
        if unlisted := sorted(present - self._artifacts.keys()):
            raise refusal(self._name, f"'{unlisted[0]}' is not in its manifest")
        for artifact in self.manifest.artifacts:
            if store.sizes[artifact.path] != artifact.size:
                raise refusal(
                    self._name,
                    f"'{artifact.path}' holds {store.sizes[artifact.path]} bytes; its manifest "
                    f"says {artifact.size}",
                )

    def _verified(self, artifact: Artifact, *, keep: bool) -> bytes:
        digest = hashlib.sha256()
        kept: list[bytes] = []
        size = 0
        # In one piece what is kept, since joining pieces needs the memory twice; one byte more
        # shows a file that grew, without loading what it grew to.
        most = artifact.size + 1 if keep else CHUNK_BYTES
        for chunk in self._store.chunks(artifact.path, most):
            size += len(chunk)
            if size > artifact.size:
                break
            digest.update(chunk)
            if keep:
                kept.append(chunk)
        if size != artifact.size or digest.hexdigest() != artifact.sha256:
            raise refusal(self._name, f"'{artifact.path}' is not the file its manifest describes")
        return b"".join(kept)
