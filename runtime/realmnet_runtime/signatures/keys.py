"""Keys that sign bundles, kept as files: private ones where bundles are made, public ones anywhere.

Ed25519 (RFC 8032) in PEM files as `openssl` reads and writes them (RFC 8410). Needs the extra
`signature`, which is loaded when a key is first used.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Final

from realmnet_runtime.errors import MissingPath, OutputError, UsageError
from realmnet_runtime.files import cannot_write, sha256_of, sync_directory

KEY_SUFFIX: Final = ".pem"
LARGEST_KEY_BYTES: Final = 1 << 14
PUBLIC_KEY_BYTES: Final = 32

_OTHERS: Final = 0o077
_BEGIN: Final = b"-----BEGIN "
_ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


@dataclass(frozen=True)
class PublicKey:
    """The half that checks signatures; anybody may have it.

    Attributes:
        raw: its 32 bytes (RFC 8032, 5.1.5).
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_KEY_BYTES:
            raise UsageError(
                f"public key of {len(self.raw)} bytes; an Ed25519 key has {PUBLIC_KEY_BYTES}: "
                f"read it from its PEM file"
            )

    @property
    def id(self) -> str:
        """SHA-256 of the key in DER, hex: `openssl pkey -pubin -outform DER | sha256sum`."""
        der: bytes = _library().public_der(self.raw)
        return sha256_of(der)

    @property
    def pem(self) -> bytes:
        """Content of its PEM file."""
        content: bytes = _library().public_pem(self.raw)
        return content

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the signature (64 bytes) of the data was made with this key's private half."""
        return bool(_library().verifies(self.raw, signature, data))


@dataclass(frozen=True)
class PrivateKey:
    """The half that signs; it stays where bundles are released.

    Attributes:
        public: the other half.
    """

    public: PublicKey
    _seed: bytes = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        """The 64 bytes of the signature (RFC 8032, 5.1.6)."""
        signature: bytes = _library().sign(self._seed, data)
        return signature


def generate_key_pair(private: Path, public: Path, passphrase: bytes | None = None) -> PublicKey:
    """Make a key and write its two halves; neither file may be there before.

    Args:
        private: PEM, PKCS8; on POSIX systems with mode 600 from its first byte.
        public: PEM.
        passphrase: encrypts the private file; None leaves it open to whoever reads it.

    Raises:
        UsageError: the extra `signature` is absent, or the passphrase is empty.
        OutputError: a file is there already or cannot be written; neither is left behind.
    """
    library = _library()
    if passphrase is not None and not passphrase:
        raise UsageError("the passphrase is empty; give one, or none at all")
    seed: bytes = library.generate()
    key = PublicKey(library.public_half(seed))
    _write_new(private, library.private_pem(seed, passphrase), 0o600)
    try:
        _write_new(public, key.pem, 0o644)
    except BaseException:
        private.unlink(missing_ok=True)
        raise
    return key


def read_private_key(path: Path, passphrase: bytes | None = None) -> PrivateKey:
    """Read the half that signs.

    Raises:
        MissingPath: there is no such file.
        UsageError: it is no Ed25519 key in PEM, others may read it, the passphrase does not fit,
            or the extra `signature` is absent.
    """
    library = _library()
    pem = _read(path)
    if _ENCRYPTED in pem and passphrase is None:
        raise UsageError(f"key '{path}' is encrypted; give its passphrase")
    if _ENCRYPTED not in pem and passphrase is not None:
        raise UsageError(f"key '{path}' is not encrypted; leave the passphrase out")
    _require_own(path)
    try:
        seed: bytes | None = library.read_private(pem, passphrase)
    except library.UNREADABLE as error:
        fault = "its passphrase is another" if passphrase else "it is no private key in PEM, PKCS8"
        raise UsageError(f"key '{path}' cannot be read: {fault}") from error
    if seed is None:
        raise _of_another_kind(path)
    return PrivateKey(PublicKey(library.public_half(seed)), seed)


def read_public_key(path: Path) -> PublicKey:
    """Read the half that checks.

    Raises:
        MissingPath: there is no such file.
        UsageError: it is not one Ed25519 public key in PEM, or the extra `signature` is absent.
    """
    library = _library()
    pem = _read(path)
    if b"PRIVATE KEY-----" in pem:
        raise UsageError(f"key '{path}' is a private key; give its public half")
    if pem.count(_BEGIN) != 1:
        raise UsageError(f"key '{path}' is not one public key in PEM; give one key a file")
    try:
        raw: bytes | None = library.read_public(pem)
    except library.UNREADABLE as error:
        raise UsageError(f"key '{path}' is no public key in PEM; fetch it again") from error
    if raw is None:
        raise _of_another_kind(path)
    return PublicKey(raw)


def read_trusted_keys(place: str | os.PathLike[str]) -> tuple[PublicKey, ...]:
    """Read the public keys of a file, or of all `*.pem` files of a folder.

    Raises:
        MissingPath: nothing is there, or a folder without keys, which would trust nobody.
        UsageError: as `read_public_key`; one bad file refuses the whole folder.
    """
    path = Path(place)
    if not path.is_dir():
        return (read_public_key(path),)
    found = sorted(each for each in path.iterdir() if each.suffix == KEY_SUFFIX)
    if not found:
        raise MissingPath(f"folder '{path}' holds no '*{KEY_SUFFIX}' key; put a public key there")
    return tuple(read_public_key(each) for each in found)


def _library() -> ModuleType:
    try:
        return importlib.import_module("realmnet_runtime.signatures._ed25519")
    except ImportError as error:
        raise UsageError(
            f"signatures need {error.name or 'cryptography'}, which is not installed or does not "
            f"load; pip install 'realmnet-runtime[signature]'"
        ) from error


def _of_another_kind(path: Path) -> UsageError:
    return UsageError(f"key '{path}' is of another kind; bundles are signed by Ed25519 keys")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_KEY_BYTES + 1)
    except OSError as error:
        raise MissingPath(f"key '{path}' cannot be read: {error.strerror}; check it") from error
    if len(content) > LARGEST_KEY_BYTES:
        raise UsageError(f"key '{path}' is longer than {LARGEST_KEY_BYTES} bytes: it is no key")
    return content


def _require_own(path: Path) -> None:
    if os.name != "posix":
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise UsageError(f"key '{path}' is open to others (mode {mode:03o}); chmod 600 it")


def _write_new(path: Path, content: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, mode)
    except FileExistsError as error:
        raise OutputError(f"'{path}' is there already; a key is never replaced") from error
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            path.unlink()
        raise cannot_write(path, error) from error
    sync_directory(path.parent)
