"""Whose bundles are opened: keys that are trusted, and what becomes of unsigned bundles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec

from realmnet_runtime.default_bundle import offered_digests
from realmnet_runtime.errors import IntegrityError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.keys import PublicKey, read_trusted_keys
from realmnet_runtime.signature import Signature

Unsigned = Literal["allow", "refuse"]

DEFAULT_UNSIGNED: Final[Unsigned] = "allow"
"""What becomes of an unsigned bundle where nobody said: no key is given and no word on it."""


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
            check, is opened; None refuses it where keys are given and is `DEFAULT_UNSIGNED`
            where none are. A bundle whose digest an installed package carries in the entry-point
            group `realmnet.bundles` needs no signature.
    """

    keys: tuple[PublicKey, ...] = ()
    unsigned: Unsigned | None = None

    @classmethod
    def of(cls, *places: str | os.PathLike[str], unsigned: Unsigned | None = None) -> Trust:
        """Trust the public keys of these PEM files, and of the `*.pem` files of these folders.

        Raises:
            MissingPath: nothing is there, or a folder without keys.
            UsageError: a file is no public key, or the extra `signature` is absent.
        """
        return cls(tuple(key for place in places for key in read_trusted_keys(place)), unsigned)

    @property
    def allows_unsigned(self) -> bool:
        """What `unsigned` comes to."""
        return (self.unsigned or ("refuse" if self.keys else DEFAULT_UNSIGNED)) == "allow"

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
        if self.allows_unsigned:
            return Standing("nobody", key_id)
        if sha256_of(raw_manifest) in offered_digests():
            return Standing("package", key_id)
        fault = (
            f"is signed by {key_id}, and no key was given to check it"
            if key_id
            else "is not signed"
        )
        raise IntegrityError(
            f"bundle '{name}' is refused: it {fault}; name the releaser's key (--trusted-key) "
            f"{'' if key_id else 'and take the signed bundle, '}or allow it (--allow-unsigned)"
        )

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
ANY_BUNDLE: Final = Trust(unsigned="allow")
"""For tools that make bundles or examine them."""
