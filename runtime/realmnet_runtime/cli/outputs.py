"""Where results go: JSON lines on stdout, files written whole or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import msgspec

from realmnet_runtime.errors import OutputError
from realmnet_runtime.files import cannot_write, temporary_beside, write_atomically


class ReaderGoneError(OutputError):
    """Whoever read standard output has gone, as `head` does; nobody need be told."""


def json_line(value: object) -> bytes:
    """One JSON object and a line feed."""
    return msgspec.json.encode(value) + b"\n"


def emit(text: str) -> None:
    """Write a result on stdout, visible at once to whoever reads the pipe.

    Raises:
        OutputError: stdout cannot be written to.
        ReaderGoneError: nobody reads it any more.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError("nobody reads standard output any more; read all of it") from error
    except OSError as error:
        raise OutputError(
            f"cannot write to standard output: {error.strerror}; send it elsewhere"
        ) from error


def print_json(value: object) -> None:
    """Print one JSON object and a line feed on stdout; errors as `emit`."""
    emit(json_line(value).decode())


def say(text: str) -> None:
    """Tell a person something beside the results: on stderr."""
    # A file's name may hold a line feed; a message is one line all the same.
    sys.stderr.write(f"realmnet: {' '.join(text.splitlines())}\n")
    sys.stderr.flush()


def require_writable_file(path: Path) -> None:
    """Try, before long work, whether a file can be written here; nothing is left behind.

    Raises:
        OutputError: it cannot.
    """
    if path.exists() and not path.is_file():
        kind = "a directory" if path.is_dir() else "not a regular file"
        raise OutputError(f"cannot write '{path}': it is {kind}; name a file")
    try:
        # Of a link it is the file it leads to that will be replaced.
        probe = temporary_beside(Path(os.path.realpath(path)))
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise cannot_write(path, error) from error


def require_writable_directory(path: Path) -> None:
    """Make the directory and try whether a file can be written in it.

    Raises:
        OutputError: it cannot.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OutputError(f"cannot write into '{path}': it is a file; name a directory") from error
    except OSError as error:
        raise cannot_write(path, error) from error
    require_writable_file(path / "probe")


def write_json_lines(path: Path, values: list[dict[str, Any]]) -> None:
    """Write JSON objects, one a line; an existing file survives a failure.

    Raises:
        OutputError: the file could not be written.
    """
    write_atomically(path, b"".join(json_line(value) for value in values))
