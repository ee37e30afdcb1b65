"""The signature beside a manifest: one line of one length, over the manifest's raw bytes.

`ed25519 KEY SIGNATURE` and a line feed: the key's identifier (`PublicKey.id`, 64 hex digits) and
the 64 bytes of the signature (128 hex digits). The manifest holds the digest of every other file,
so the signature vouches for all of them.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

SIGNATURE_BYTES: Final = 202
"""Size of the file, always."""

_LINE: Final = re.compile(rb"ed25519 (?P<key>[0-9a-f]{64}) (?P<value>[0-9a-f]{128})\n")


class Signature(msgspec.Struct, frozen=True):
    """Who says that a manifest is theirs; true only once it was checked.

    Attributes:
        key_id: `PublicKey.id` of the key.
        value: 64 bytes.
    """

    key_id: str
    value: bytes

    def line(self) -> bytes:
        """Content of the file."""
        return f"ed25519 {self.key_id} {self.value.hex()}\n".encode()


def decode_signature(raw: bytes) -> Signature | None:
    """The signature of a file's content; None where it is not exactly of the form above."""
    match = _LINE.fullmatch(raw)
    if match is None:
        return None
    return Signature(match["key"].decode(), bytes.fromhex(match["value"].decode()))
