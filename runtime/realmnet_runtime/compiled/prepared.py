"""What engines compiled on this machine, kept for the next start.

An engine executes a compiled form as it is, so a file is given to it only where all of this holds:
it lies in a folder that nobody but this user may enter, it is this user's plain file, its record
was written by `realmnet prepare` for exactly this bundle, variant, engine build, processor and
number of threads, and its digest is the record's. Anything else is refused and never loaded.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import msgspec

from realmnet_runtime.backends import EngineFacts
from realmnet_runtime.bundles.manifest import Digest, Precision
from realmnet_runtime.errors import ConfigurationError, IntegrityError, OutputError, UsageError
from realmnet_runtime.files import cannot_write, sha256_of, write_atomically
from realmnet_runtime.structs import decode_json

LARGEST_RECORD_BYTES: Final = 1 << 16

_PRIVATE: Final = 0o700
_OTHERS_ENTER: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_CURE: Final = "run `realmnet prepare` again"


class PreparedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a compiled form depends on.

    Attributes:
        bundle_sha256: identity of the bundle, and with it of the model's files.
        variant: name in the bundle.
        execution_precision: in which the engine computes.
        engine: its name in the manifest.
        identity: of the engine's build and its device, as its preparer says.
        processor: as the system names it.
        instruction_sets: sorted.
        threads: with which the engine computes.
    """

    bundle_sha256: Digest
    variant: str
    execution_precision: Precision
    engine: str
    identity: dict[str, str]
    processor: str
    instruction_sets: tuple[str, ...]
    threads: Annotated[int, msgspec.Meta(ge=1)]

    @property
    def name(self) -> str:
        """Name of its files: 32 hex digits of its digest."""
        return sha256_of(msgspec.json.encode(self, order="deterministic"))[:32]


class PreparedRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of one compiled form.

    Attributes:
        key: what it was compiled for.
        size: bytes.
        sha256: of the bytes.
        facts: what the engine said of itself when it had compiled.
    """

    key: PreparedKey
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Digest
    facts: EngineFacts


class PreparedStore:
    """A folder of compiled forms that belongs to one user; it need not exist.

    Args:
        folder: made, for this user alone, when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, key: PreparedKey) -> tuple[PreparedRecord, bytearray] | None:
        """The record and the compiled form of a key, verified; None where nothing was prepared.

        The form can be written to, so that an engine may use it where it lies.

        Raises:
            IntegrityError: there is something that must not be loaded.
        """
        place = self.folder / f"{key.name}.json"
        if not os.path.lexists(place):
            return None
        self._require_private()
        record = _decode_record(place)
        if record.key != key:
            raise IntegrityError(f"'{place}' was prepared for something else; {_CURE}")
        compiled = _read_own(self._blob(key, record.sha256), record.size)
        digest = hashlib.sha256(compiled).hexdigest()
        if len(compiled) != record.size or digest != record.sha256:
            raise IntegrityError(
                f"'{self._blob(key, record.sha256)}' is not what was prepared; {_CURE}"
            )
        return record, compiled

    def keep(self, key: PreparedKey, compiled: bytes, facts: EngineFacts) -> PreparedRecord:
        """Write a compiled form and its record; what was kept under the key goes.

        Raises:
            IntegrityError: others may enter the folder.
            OutputError: it could not be written; what was there before is whole.
        """
        self._make()
        record = PreparedRecord(key, len(compiled), sha256_of(compiled), facts)
        blob = self._blob(key, record.sha256)
        write_atomically(blob, compiled)
        # The record last: until it is there, or where it is lost, nothing is loaded.
        write_atomically(self.folder / f"{key.name}.json", msgspec.json.encode(record) + b"\n")
        for other in self.folder.glob(f"{key.name}-*.blob"):
            if other != blob:
                other.unlink(missing_ok=True)
        return record

    def _blob(self, key: PreparedKey, sha256: str) -> Path:
        return self.folder / f"{key.name}-{sha256[:16]}.blob"

    def _make(self) -> None:
        try:
            self.folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        except FileExistsError as error:
            raise OutputError(
                f"cannot write '{self.folder}': it is no directory; name another with --cache"
            ) from error
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        self._require_private()

    def _require_private(self) -> None:
        try:
            state = self.folder.lstat()
        except OSError as error:
            raise IntegrityError(
                f"'{self.folder}' cannot be read ({error.strerror}); {_CURE}"
            ) from error
        if not stat.S_ISDIR(state.st_mode):
            raise IntegrityError(f"'{self.folder}' is no directory; name another with --cache")
        if os.name != "posix":
            return  # elsewhere a profile's folder is closed to other users by inheritance
        if state.st_uid != os.geteuid() or state.st_mode & _OTHERS_ENTER:
            raise IntegrityError(
                f"'{self.folder}' is open to others (mode {state.st_mode & 0o777:03o}, owner "
                f"{state.st_uid}); it must be this user's with mode 700: chmod 700 it, or name "
                f"another with --cache"
            )


def user_cache(environment: Mapping[str, str] | None = None) -> Path:
    """Where a user's compiled forms lie unless a folder is named.

    `$XDG_CACHE_HOME/realmnet/prepared`, by default below `~/.cache`; `~/Library/Caches` on macOS,
    `%LOCALAPPDATA%` on Windows.

    Raises:
        UsageError: the user has no home directory.
    """
    environment = os.environ if environment is None else environment
    named = environment.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME", "")
    if named and Path(named).is_absolute():
        return Path(named) / "realmnet" / "prepared"
    try:
        home = Path.home()
    except RuntimeError as error:
        raise UsageError(
            "this user has no home directory to keep compiled models in; name one with --cache"
        ) from error
    base = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return base / "realmnet" / "prepared"


def _decode_record(place: Path) -> PreparedRecord:
    try:
        return decode_json(
            bytes(_read_own(place, LARGEST_RECORD_BYTES)), PreparedRecord, f"'{place}'"
        )
    except ConfigurationError as error:
        raise IntegrityError(f"{error}; {_CURE}") from error


def _read_own(path: Path, most: int) -> bytearray:
    """Bytes of this user's own plain file, links not followed, one more than `most` at most."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise IntegrityError(f"'{path}' cannot be read ({error.strerror}); {_CURE}") from error
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        own = os.name != "posix" or (
            state.st_uid == os.geteuid() and not state.st_mode & _OTHERS_WRITE
        )
        if not stat.S_ISREG(state.st_mode) or not own:
            raise IntegrityError(f"'{path}' is not this user's own file; {_CURE}")
        # What the file holds, not what a record claims, is made room for.
        return _read(file, min(most, state.st_size) + 1)


def _read(file: BinaryIO, most: int) -> bytearray:
    content = bytearray(most)
    with memoryview(content) as view:
        size = 0
        while size < most and (read := file.readinto(view[size:])):  # type: ignore[attr-defined]
            size += read
    del content[size:]
    return content
