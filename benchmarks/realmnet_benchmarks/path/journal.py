"""A long measurement's raw lines, kept as they come, so that a broken-off run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from realmnet_runtime.cli.outputs import json_line
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.files import cannot_write
from realmnet_runtime.structs import decode_json

Task = TypeVar("Task", bound=msgspec.Struct)
Line = TypeVar("Line", bound=msgspec.Struct)


class Journal(Generic[Task, Line]):
    """JSON lines: first what is measured, then one line a result.

    A last line that is not whole, as a kill leaves it, is dropped and measured again.

    Args:
        path: of the file; begun where it is missing.
        task: what is measured.
        kind: of the results.

    Raises:
        ConfigurationError: the file holds the results of another task, or no results.
        OutputError: it cannot be read or written.
    """

    def __init__(self, path: Path, task: Task, kind: type[Line]) -> None:
        self.path = path
        self.task = task
        try:
            raw = path.read_bytes() if path.exists() else b""
            whole = raw[: raw.rfind(b"\n") + 1]
            first, *rest = whole.splitlines() or [b""]
            if whole:
                _agree(path, decode_json(first, type(task), f"'{path}'"), task)
            self.lines = [decode_json(line, kind, f"'{path}'") for line in rest]
            if whole != raw or not whole:
                path.write_bytes(whole or json_line(task))
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, lines: list[Line]) -> None:
        """Keep results.

        Raises:
            OutputError: they could not be written.
        """
        try:
            with self.path.open("ab") as file:
                file.write(b"".join(map(json_line, lines)))
        except OSError as error:
            raise cannot_write(self.path, error) from error
        self.lines.extend(lines)


def _agree(path: Path, found: msgspec.Struct, asked: msgspec.Struct) -> None:
    for name in asked.__struct_fields__:
        here, wanted = getattr(found, name), getattr(asked, name)
        if here != wanted:
            raise ConfigurationError(
                f"'{path}' was begun with {name} {here}, asked for {wanted}; name another file, or "
                f"the options it was begun with"
            )
