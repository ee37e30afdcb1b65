"""The pointer file: which slots there are, which of them answers, and the highest version so far.

It is the store's only memory, one small file that is replaced whole, so that a power cut leaves
the old state or the new one. Its digest finds damage, not forgery.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec

from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import Digest
from realmnet_runtime.errors import ConfigurationError, IncompatibleError, IntegrityError
from realmnet_runtime.files import sha256_of, write_atomically
from realmnet_runtime.slots.versions import Precedence, precedence
from realmnet_runtime.structs import decode_json

SCHEMA_VERSION: Final = 1
POINTER_NAME: Final = "pointer.json"
LARGEST_POINTER_BYTES: Final = 1 << 16
NAME_DIGITS: Final = 16

_CURE: Final = (
    "put the file back from a copy, or install into a new store; the bundles in this one may be "
    "sound, but which of them may answer is not known"
)


class Slot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle in the store: its identity, model and version."""

    bundle_sha256: Digest
    model: Annotated[str, msgspec.Meta(max_length=1000)]
    version: str

    def __post_init__(self) -> None:
        _comparable(self.version)

    @classmethod
    def of(cls, bundle: Bundle) -> Slot:
        """The slot that an open bundle goes into.

        Raises:
            IncompatibleError: its version cannot be compared with others.
        """
        model = bundle.manifest.model
        precedence(model.version)
        return cls(bundle.digest, model.name, model.version)

    @property
    def name(self) -> str:
        """Of its files: the first digits of the bundle's digest."""
        return self.bundle_sha256[:NAME_DIGITS]

    def __str__(self) -> str:
        return f"{self.name} ({self.model} {self.version})"


class Pointer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state of a store.

    Attributes:
        active: the slot that answers.
        previous: the one that answered before it, to which `rollback` returns.
        candidate: installed and not yet activated.
        highest: highest version that was ever active; a rollback does not lower it.
    """

    active: Slot | None = None
    previous: Slot | None = None
    candidate: Slot | None = None
    highest: str | None = None

    def __post_init__(self) -> None:
        if (self.active is None) != (self.highest is None):
            raise ConfigurationError("pointer has an active slot or a highest version, not both")
        if self.active is None and self.previous is not None:
            raise ConfigurationError("pointer has a previous slot and no active one")
        if self.highest is not None:
            highest = _comparable(self.highest)
            for slot in (self.active, self.previous):
                if slot is not None and precedence(slot.version) > highest:
                    raise ConfigurationError("pointer has an active slot above its highest version")

    @property
    def slots(self) -> tuple[Slot, ...]:
        """All slots that are kept."""
        return tuple(s for s in (self.active, self.previous, self.candidate) if s is not None)

    def is_downgrade(self, version: str) -> bool:
        """Whether a version is below the highest that was ever active."""
        return self.highest is not None and precedence(version) < precedence(self.highest)

    def installed(self, slot: Slot) -> Pointer:
        """The state once a slot is installed; the active one needs no activation."""
        return msgspec.structs.replace(self, candidate=None if slot == self.active else slot)

    def activated(self) -> Pointer:
        """The state once the candidate answers; the same where there is none."""
        if self.candidate is None:
            return self
        version = self.candidate.version
        return Pointer(
            active=self.candidate,
            previous=self.active,
            highest=self.highest if self.is_downgrade(version) else version,
        )

    def rolled_back(self) -> Pointer:
        """The state once the previous slot answers again; the one it replaces is forgotten."""
        return msgspec.structs.replace(self, active=self.previous, previous=None)


class _Sealed(msgspec.Struct, frozen=True):
    """The file: the form it has, and the pointer with its digest."""

    schema_version: int
    sha256: Digest
    pointer: msgspec.Raw


def write_pointer(folder: Path, pointer: Pointer) -> None:
    """Replace a store's pointer, whole or not at all.

    Raises:
        OutputError: it could not be written; the one before is untouched.
    """
    raw = msgspec.json.encode(pointer)
    sealed = _Sealed(SCHEMA_VERSION, sha256_of(raw), msgspec.Raw(raw))
    write_atomically(folder / POINTER_NAME, msgspec.json.encode(sealed) + b"\n")


def read_pointer(folder: Path) -> Pointer:
    """Read a store's pointer.

    Raises:
        IntegrityError: it is missing or damaged.
        IncompatibleError: it was written by another generation of this runtime.
    """
    path = folder / POINTER_NAME
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_POINTER_BYTES + 1)
    except OSError as error:
        raise _damaged(path, str(error.strerror)) from error
    if len(raw) > LARGEST_POINTER_BYTES:
        raise _damaged(path, "it is too long")
    try:
        sealed = decode_json(raw, _Sealed, "its content")
        if sealed.schema_version != SCHEMA_VERSION:
            raise IncompatibleError(
                f"slot store '{folder}' has schema {sealed.schema_version}; this runtime reads "
                f"schema {SCHEMA_VERSION}; use the runtime that wrote it"
            )
        content = bytes(sealed.pointer)
        if sha256_of(content) != sealed.sha256:
            raise _damaged(path, "its digest is another")
        return decode_json(content, Pointer, "its content")
    except ConfigurationError as error:
        raise _damaged(path, str(error)) from error


def _comparable(version: str) -> Precedence:
    try:
        return precedence(version)
    except IncompatibleError as error:
        raise ConfigurationError(str(error)) from error


def _damaged(path: Path, fault: str) -> IntegrityError:
    return IntegrityError(f"slot pointer '{path}' cannot be used ({fault}); {_CURE}")
