"""Ed25519 and its PEM files, by the library `cryptography`: the one module that imports it."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

UNREADABLE: Final = (ValueError, TypeError, UnsupportedAlgorithm)
"""What its readers raise for a file that is no key, or a passphrase that does not fit."""


def verifies(public: bytes, signature: bytes, data: bytes) -> bool:
    """Whether a signature (64 bytes) of the data was made with the key of this public half."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign(seed: bytes, data: bytes) -> bytes:
    """The 64 bytes of the signature."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(data)


def generate() -> bytes:
    """A new private key's 32 bytes."""
    return Ed25519PrivateKey.generate().private_bytes_raw()


def public_half(seed: bytes) -> bytes:
    """The 32 bytes of the public key."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def public_der(public: bytes) -> bytes:
    """The public key as SubjectPublicKeyInfo (RFC 8410)."""
    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_pem(public: bytes) -> bytes:
    """The public key as a PEM file."""
    key = Ed25519PublicKey.from_public_bytes(public)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def private_pem(seed: bytes, passphrase: bytes | None) -> bytes:
    """The private key as a PEM file in PKCS8, encrypted where there is a passphrase."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def read_public(pem: bytes) -> bytes | None:
    """32 bytes of a public key; None where it is a key of another kind; raises `UNREADABLE`."""
    key = load_pem_public_key(pem)
    return key.public_bytes_raw() if isinstance(key, Ed25519PublicKey) else None


def read_private(pem: bytes, passphrase: bytes | None) -> bytes | None:
    """32 bytes of a private key; None where it is a key of another kind; raises `UNREADABLE`."""
    key = load_pem_private_key(pem, passphrase)
    return key.private_bytes_raw() if isinstance(key, Ed25519PrivateKey) else None
