"""Where a bundle's files lie: a directory or a zip, listed and found safe before any is read.

A zip may be a file or lie in memory, as decryption leaves it; nothing is unpacked to the disk.

The zip reader takes less than the format allows, because every liberty is a way to be attacked:
one volume, no zip64, no comment, nothing before the first entry, only plain files, stored or
deflated, with names from `files.path_fault`, and sizes within the limits below.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

from realmnet_runtime.bundles.manifest import MANIFEST_NAME
from realmnet_runtime.errors import IntegrityError, MissingPath, UsageError
from realmnet_runtime.files import CHUNK_BYTES, path_fault

MOST_FILES: Final = 1024
LARGEST_FILE_BYTES: Final = 512 << 20
LARGEST_BUNDLE_BYTES: Final = 1 << 30
GREATEST_COMPRESSION_RATIO: Final = 100
IN_MEMORY: Final = "in memory"
"""What a bundle without a path is called in errors."""

_END_RECORD: Final = struct.Struct("<4s4H2LH")
_ZIP64_LOCATOR_BYTES: Final = 20
_DEFLATE_LEVEL_AND_UTF8_NAME: Final = 0x0006 | 0x0800
_ENCRYPTED: Final = 0x0001
_MSDOS_DIRECTORY: Final = 0x10
_UNREADABLE: Final = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class Store(Protocol):
    """The files of a bundle.

    Attributes:
        sizes: in bytes, by relative POSIX path.
        compressed: whether any of them is stored deflated.
    """

    sizes: dict[str, int]
    compressed: bool

    def chunks(self, name: str, most: int = CHUNK_BYTES) -> Iterator[bytes]:
        """The content of one listed file in pieces of at most so many bytes.

        Raises:
            IntegrityError: it cannot be read, or fails the archive's own check.
        """
        ...

    def close(self) -> None:
        """Let go of what is held open."""
        ...


def open_store(path: Path) -> Store:
    """Open a directory or a zip at a path and check its listing.

    Raises:
        MissingPath: there is nothing at the path.
        IntegrityError: it is neither, or it is unsafe.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingPath(
            f"bundle '{path}' does not exist; name a bundle directory or a .realmnet file"
        ) from error
    except (OSError, ValueError) as error:
        raise refusal(path, f"it cannot be read ({error})") from error
    if stat.S_ISDIR(mode):
        return DirectoryStore(path)
    if not stat.S_ISREG(mode):
        raise refusal(path, "it is neither a directory nor a file")
    try:
        file = path.open("rb")
    except OSError as error:
        raise refusal(path, f"it cannot be read ({error.strerror})") from error
    return ZipStore(file, path, owned=True)


def open_memory(source: object) -> Store:
    """Open a zip given as bytes or as a binary file, which stays the caller's, and check it.

    Raises:
        UsageError: it is neither, or the file cannot be read at any position.
        IntegrityError: it is no zip, or it is unsafe.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return ZipStore(io.BytesIO(source), IN_MEMORY, owned=True)
    if isinstance(source, io.TextIOBase) or not all(
        hasattr(source, verb) for verb in ("read", "seek", "seekable")
    ):
        raise UsageError(
            f"bundle of type {type(source).__name__}; give a path, the bytes of a zip or a binary "
            f"file"
        )
    file = cast("BinaryIO", source)
    if not file.seekable():
        raise UsageError("bundle in a stream that cannot seek; read it and give its bytes")
    return ZipStore(file, IN_MEMORY, owned=False)


def refusal(name: Path | str, fault: str) -> IntegrityError:
    """The error for a bundle that cannot be trusted."""
    return IntegrityError(f"bundle '{name}' is refused: {fault}; fetch it again from its source")


class DirectoryStore:
    """A directory tree of plain files; links and special files are refused."""

    compressed = False

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            # Said first: the entries of some other directory are none of our business.
            if not (root / MANIFEST_NAME).is_file():
                raise refusal(root, f"it has no '{MANIFEST_NAME}', so it is no bundle")
            entries = list(self._walk())
        except OSError as error:
            raise refusal(root, f"it cannot be read ({error.strerror or error})") from error
        self.sizes = _checked_sizes(root, entries)

    def _walk(self) -> Iterator[tuple[str, int]]:
        pending = [""]
        count = 0
        while pending:
            prefix = pending.pop()
            with os.scandir(self._root / prefix) as entries:
                for entry in entries:
                    count += 1
                    if count > MOST_FILES:
                        raise refusal(self._root, f"it holds more than {MOST_FILES} entries")
                    name = prefix + entry.name
                    if entry.is_symlink():
                        raise refusal(self._root, f"entry {name!a} is a symbolic link")
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(f"{name}/")
                    elif entry.is_file(follow_symlinks=False):
                        yield name, entry.stat(follow_symlinks=False).st_size
                    else:
                        raise refusal(self._root, f"entry {name!a} is a special file")

    def chunks(self, name: str, most: int = CHUNK_BYTES) -> Iterator[bytes]:
        """See `Store.chunks`."""
        try:
            with (self._root / name).open("rb") as file:
                while chunk := file.read(most):
                    yield chunk
        except OSError as error:
            raise refusal(self._root, f"'{name}' cannot be read ({error.strerror})") from error

    def close(self) -> None:
        """Nothing is held open: each read opens its file anew."""


class ZipStore:
    """A zip kept open, so that a file renamed over it does not change what is read.

    Args:
        file: binary, read at any position.
        name: of the bundle in errors.
        owned: whether the file is closed with the store.
    """

    def __init__(self, file: BinaryIO, name: Path | str, *, owned: bool) -> None:
        self._name = name
        self._file = file
        self._owned = owned
        try:
            count = self._count_entries(file)
            self._zip = zipfile.ZipFile(file)
            infos = self._zip.infolist()
            if len(infos) != count:
                raise refusal(name, "its directory contradicts itself")
            for info in infos:
                if fault := _entry_fault(info):
                    raise refusal(name, f"entry {info.orig_filename!a} {fault}")
            entries = [(info.filename, info.file_size) for info in infos]
            self.sizes = _checked_sizes(name, entries)
            self.compressed = any(info.compress_type != zipfile.ZIP_STORED for info in infos)
        except _UNREADABLE as error:
            self._release()
            raise refusal(name, f"its zip directory cannot be read ({error})") from error
        except IntegrityError:
            self._release()
            raise

    def _count_entries(self, file: BinaryIO) -> int:
        """Check the end record, so that no oversized directory is ever loaded."""
        size = file.seek(0, os.SEEK_END)
        tail_bytes = _END_RECORD.size + _ZIP64_LOCATOR_BYTES
        file.seek(max(0, size - tail_bytes))
        tail = file.read(tail_bytes)
        file.seek(0)
        head = file.read(4)
        if head != b"PK\x03\x04" or len(tail) < tail_bytes:
            raise refusal(self._name, "it is not a zip archive")
        signature, disk, first_disk, here, count, directory_bytes, offset, comment_bytes = (
            _END_RECORD.unpack(tail[_ZIP64_LOCATOR_BYTES:])
        )
        if signature != b"PK\x05\x06":
            raise refusal(self._name, "its zip archive is cut short or has bytes after its end")
        if (disk, first_disk, here, comment_bytes) != (0, 0, count, 0):
            raise refusal(self._name, "its zip archive has several volumes or a comment")
        if tail.startswith(b"PK\x06\x07") or count > MOST_FILES:
            raise refusal(self._name, f"it holds more than {MOST_FILES} entries or is a zip64")
        if offset + directory_bytes + _END_RECORD.size != size:
            raise refusal(self._name, "its zip archive has bytes that belong to no entry")
        return int(count)

    def chunks(self, name: str, most: int = CHUNK_BYTES) -> Iterator[bytes]:
        """See `Store.chunks`."""
        try:
            with self._zip.open(name) as file:
                while chunk := file.read(most):
                    yield chunk
        except _UNREADABLE as error:
            raise refusal(self._name, f"'{name}' cannot be unpacked ({error})") from error

    def close(self) -> None:
        """Close the zip; reading afterwards is refused."""
        self._zip.close()
        self._release()

    def _release(self) -> None:
        if self._owned:
            self._file.close()


def _entry_fault(info: zipfile.ZipInfo) -> str | None:
    # zipfile cuts names at NUL and rewrites separators: the name as stored is the one to judge.
    if fault := path_fault(info.orig_filename):
        return fault
    kind = stat.S_IFMT(info.external_attr >> 16)
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    for fault, found in (
        ("goes by two names", info.filename != info.orig_filename),
        ("is a symbolic link", kind == stat.S_IFLNK),
        ("is a directory", kind == stat.S_IFDIR or bool(info.external_attr & _MSDOS_DIRECTORY)),
        ("is a special file", kind not in {0, stat.S_IFREG, stat.S_IFLNK, stat.S_IFDIR}),
        ("is encrypted", bool(info.flag_bits & _ENCRYPTED)),
        ("uses a zip feature that is not allowed", _has_odd_flags(info)),
        (
            f"uses compression method {info.compress_type}; stored and deflated are allowed",
            not deflated and info.compress_type != zipfile.ZIP_STORED,
        ),
        ("contradicts its size", not deflated and info.compress_size != info.file_size),
        (
            f"expands more than {GREATEST_COMPRESSION_RATIO} times",
            info.file_size > GREATEST_COMPRESSION_RATIO * info.compress_size,
        ),
    ):
        if found:
            return fault
    return None


def _has_odd_flags(info: zipfile.ZipInfo) -> bool:
    return bool(info.flag_bits & ~(_DEFLATE_LEVEL_AND_UTF8_NAME | _ENCRYPTED))


def _checked_sizes(path: Path | str, entries: Iterable[tuple[str, int]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    folded: set[str] = set()
    for name, size in entries:
        if fault := path_fault(name):
            raise refusal(path, f"entry {name!a} {fault}")
        if name.lower() in folded:
            raise refusal(path, f"entry '{name}' is there twice, if only in another case")
        if size > LARGEST_FILE_BYTES:
            raise refusal(path, f"'{name}' holds {size} bytes; {LARGEST_FILE_BYTES} are allowed")
        folded.add(name.lower())
        sizes[name] = size
    total = sum(sizes.values())
    if total > LARGEST_BUNDLE_BYTES:
        raise refusal(path, f"it holds {total} bytes; {LARGEST_BUNDLE_BYTES} are allowed")
    return sizes
