"""Files: digests, names that are safe in an archive, and writing whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from realmnet_runtime.errors import OutputError

CHUNK_BYTES: Final = 1 << 20
LONGEST_PATH: Final = 240

_PORTABLE_PART: Final = re.compile(r"[A-Za-z0-9._+-]+")
_TEMPORARY: Final = re.compile(r"\.realmnet-[0-9a-f]{16}\.part")
_DRIVE: Final = re.compile(r"[A-Za-z]:")
_WINDOWS_DEVICES: Final = frozenset(
    ["aux", "con", "nul", "prn", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))]
)
_NO_ROOM: Final = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)
)


def sha256_of(source: bytes | str | Path) -> str:
    """SHA-256 of bytes, or of the file at a path read piece by piece; 64 lower-case hex digits.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with Path(source).open("rb") as file:
        return sha256_of_stream(file)[0]


def sha256_of_stream(file: BinaryIO) -> tuple[str, int]:
    """SHA-256 (hex) and number of the bytes from the stream's position to its end."""
    digest = hashlib.sha256()
    size = 0
    while chunk := file.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def path_fault(path: str) -> str | None:
    """What makes a path unfit for a bundle, or None for a fit one.

    Fit are relative, normalised POSIX paths whose parts mean the same file on every system:
    ASCII letters, digits and `. _ + -`, no part that starts or ends with a dot, and none that
    Windows keeps for a device.
    """
    for fault, found in (
        ("is empty", not path),
        (f"is longer than {LONGEST_PATH} characters", len(path) > LONGEST_PATH),
        ("holds a NUL", "\0" in path),
        ("holds a backslash", "\\" in path),
        ("is absolute", path.startswith("/")),
        ("starts with a drive letter", _DRIVE.match(path) is not None),
        ("names a directory", path.endswith("/")),
    ):
        if found:
            return fault
    return next(filter(None, map(_part_fault, path.split("/"))), None)


def _part_fault(part: str) -> str | None:
    if part in {"", ".", ".."}:
        return "leaves its place with '..'" if part == ".." else "is not normalised"
    if not _PORTABLE_PART.fullmatch(part):
        return "holds characters outside A-Z a-z 0-9 . _ + -"
    if part.startswith(".") or part.endswith("."):
        return "has a part that starts or ends with a dot"
    if part.split(".", maxsplit=1)[0].lower() in _WINDOWS_DEVICES:
        return "has a part that is a device on Windows"
    return None


def temporary_beside(path: Path) -> Path:
    """A name in the same directory, so the same file system, that nobody uses yet."""
    return path.with_name(f".realmnet-{secrets.token_hex(8)}.part")


def is_temporary(path: Path) -> bool:
    """Whether a name is one of `temporary_beside`: left behind where a process was killed."""
    return _TEMPORARY.fullmatch(path.name) is not None


def sync_directory(directory: Path) -> None:
    """Make a rename in this directory survive a power cut, where the system can."""
    if os.name != "posix":
        return
    # The rename is done and visible; a file system without directory fsync does not undo it.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make a directory and those above it, so that they survive a power cut; it may be there.

    Raises:
        OutputError: it cannot be made, or something else has its name.
    """
    if path.is_dir():
        return
    if path.parent != path:
        make_directory(path.parent)
    try:
        path.mkdir(exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"cannot write '{path}': it is no directory; name another") from error
    except OSError as error:
        raise cannot_write(path, error) from error
    sync_directory(path.parent)


def cannot_write(path: str | Path, error: OSError) -> OutputError:
    """The one-line error, with the cure, for a write that the system refused."""
    parent = Path(path).parent
    if error.errno in _NO_ROOM:
        cure = "free some space or choose another disk"
    elif error.errno == errno.ENOENT:
        cure = f"create the directory '{parent}' first"
    elif error.errno == errno.ENOTDIR:
        cure = f"choose a path whose parents are directories; one of '{parent}' is a file"
    elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        cure = "choose a directory you may write to"
    else:
        cure = "choose another path"
    return OutputError(f"cannot write '{path}': {error.strerror or error}; {cure}")


def write_atomically(path: str | Path, data: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file whole or not at all: temporary name, fsync, rename over the target.

    A link is followed, so that the file it leads to is replaced and the link stays.

    Args:
        path: the target; its directory must exist.
        data: the bytes, or a function that writes them to the open file (seekable, binary). An
            OSError it raises counts as a failed write; other errors pass through.

    Raises:
        OutputError: the file could not be written; what was there before is untouched.
    """
    try:
        target = Path(os.path.realpath(path))
        _require_replaceable(path, target)
        temporary = temporary_beside(target)
        try:
            with temporary.open("xb") as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    data(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(target.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


def _require_replaceable(path: str | Path, target: Path) -> None:
    """A rename onto /dev/null or a pipe would replace the device itself."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise OutputError(f"cannot write '{path}': it is {kind}; name a file")
