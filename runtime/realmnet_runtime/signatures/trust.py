"""Whose bundles are opened: keys that are trusted, and what becomes of unsigned bundles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from realmnet_runtime.bundles.default_bundle import DEMONSTRATION_DIGEST, offered_digests
from realmnet_runtime.errors import IntegrityError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.signatures.keys import PublicKey, read_trusted_keys
from realmnet_runtime.signatures.signature import Signature

Unsigned = Literal["allow", "refuse"]


class Standing(msgspec.Struct, frozen=True):
    """On whose word a bundle was opened.

    Attributes:
        by: `key`, a trusted key's signature was checked; `package`, an installed package carries
            the bundle's digest; `nobody`, unsigned bundles were allowed.
        key_id: of the key that signed it, checked only where `by` is `key`; None where unsigned.
    """

    by: Literal["key", "package", "nobody"]
    key_id: str | None = None

    def __str__(self) -> str:
        signed = f"signed by {self.key_id}" if self.key_id else "not signed"
        if self.by == "key":
            return f"{signed}, checked"
        if self.by == "package":
            return f"{signed}; its digest is the one its package carries"
        return f"{signed}, not checked" if self.key_id else signed


@dataclass(frozen=True)
class Trust:
    """Whose bundles are opened.

    Attributes:
        keys: public keys that are trusted. Where there are any, a signature must be by one of
            them.
        unsigned: whether a bundle without a signature, or with one that no key was given to
            check, is opened. A bundle whose digest an installed package carries in the
            entry-point group `realmnet.bundles` needs no signature, nor, where no key is given,
            the toolkit's demonstration.
    """

    keys: tuple[PublicKey, ...] = ()
    unsigned: Unsigned = "refuse"

    @classmethod
    def of(cls, *places: str | os.PathLike[str], unsigned: Unsigned = "refuse") -> Trust:
        """Trust the public keys of these PEM files, and of the `*.pem` files of these folders.

        Raises:
            MissingPath: nothing is there, or a folder without keys.
            UsageError: a file is no public key, or the extra `signature` is absent.
        """
        return cls(tuple(key for place in places for key in read_trusted_keys(place)), unsigned)

    def judge(self, name: Path | str, raw_manifest: bytes, signature: Signature | None) -> Standing:
        """Decide whether a bundle may be opened; nothing of the manifest is parsed.

        Args:
            name: of the bundle, for the error.
            raw_manifest: bytes of `manifest.json`.
            signature: of `manifest.sig`; None where there is none.

        Raises:
            IntegrityError: it may not.
        """
        if signature is not None and self.keys:
            self._require_verified(name, raw_manifest, signature)
            return Standing("key", signature.key_id)
        key_id = signature.key_id if signature else None
        if self.unsigned == "allow":
            return Standing("nobody", key_id)
        if self._is_packaged(sha256_of(raw_manifest)):
            return Standing("package", key_id)
        fault, cure = (
            (f"is signed by {key_id}, and no key was given to check it", "name its releaser's key")
            if key_id
            else ("is not signed", "take it signed and name its releaser's key")
        )
        raise IntegrityError(
            f"bundle '{name}' is refused: it {fault}; {cure} (--trusted-key), or open it all the "
            f'same (--allow-unsigned, in Python trust=Trust(unsigned="allow"))'
        )

    def _is_packaged(self, digest: str) -> bool:
        # Who names keys and installs the runtime alone did not ask for the demonstration.
        return (digest == DEMONSTRATION_DIGEST and not self.keys) or digest in offered_digests()

    def _require_verified(
        self, name: Path | str, raw_manifest: bytes, signature: Signature
    ) -> None:
        key = next((key for key in self.keys if key.id == signature.key_id), None)
        if key is None:
            raise IntegrityError(
                f"bundle '{name}' is refused: it is signed by {signature.key_id}, which is none "
                f"of the {len(self.keys)} trusted keys; get it from its releaser, or trust the key"
            )
        if not key.verifies(signature.value, raw_manifest):
            raise IntegrityError(
                f"bundle '{name}' is refused: its signature by {signature.key_id} is not of this "
                f"manifest; fetch it again from its source"
            )


DEFAULT_TRUST: Final = Trust()
"""Where nobody said: bundles whose digest an installed package carries, and no others."""

ANY_BUNDLE: Final = Trust(unsigned="allow")
"""For tools that make bundles or examine them."""
