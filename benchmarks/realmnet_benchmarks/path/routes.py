"""Routes in processes of their own, asked block by block."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TypeVar, cast

import msgspec

from realmnet_runtime.errors import RealmnetError
from realmnet_runtime.structs import decode_json

Kind = TypeVar("Kind")


class Block(msgspec.Struct, frozen=True):
    """A route's answers to a block of files: seconds and findings by file."""

    seconds: tuple[float, ...]
    findings: tuple[tuple[str, ...], ...]


class _Ready(msgspec.Struct, frozen=True):
    ready: bool


class Route:
    """A running process that answers blocks (see benchmarks/peers); idle between them."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self._process = process

    def wait_until_ready(self) -> None:
        """Until it has loaded its model.

        Raises:
            RealmnetError: the process ended.
        """
        self._read(_Ready)

    def block(self, files: Sequence[str]) -> Block:
        """Have it answer files, in order.

        Raises:
            RealmnetError: the process ended.
        """
        with contextlib.suppress(BrokenPipeError):
            entrance = cast("IO[bytes]", self._process.stdin)
            entrance.write(msgspec.json.encode(files) + b"\n")
            entrance.flush()
        return self._read(Block)

    def _read(self, kind: type[Kind]) -> Kind:
        line = cast("IO[bytes]", self._process.stdout).readline()
        if not line:
            code = self._process.wait()
            raise RealmnetError(
                f"route '{self.name}' ended with code {code}; its own words are above"
            )
        return decode_json(line, kind, f"route '{self.name}'")


@contextlib.contextmanager
def running(commands: Mapping[str, Sequence[str]], threads: int) -> Iterator[list[Route]]:
    """Start routes, wait until all are ready, and end them with the block.

    Args:
        commands: by the route's name.
        threads: also of libraries that read their number from the environment.

    Raises:
        RealmnetError: one ended before it was ready.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with contextlib.ExitStack() as stack:
        routes = []
        for name, command in commands.items():
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            routes.append(Route(name, process))
        for route in routes:
            route.wait_until_ready()
        yield routes
