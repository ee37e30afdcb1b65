"""A service on a socket, until a signal; uvicorn does the work."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import signal
import socket
import sys
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any, Final

import uvicorn

from realmnet_runtime.errors import UsageError
from realmnet_runtime.serving.application import application
from realmnet_runtime.serving.service import Service

_ENDING: Final = (signal.SIGINT, signal.SIGTERM)
_CONNECTIONS: Final = 512
_IDLE_SECONDS: Final = 5
_MARGIN_SECONDS: Final = 10


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that has an address and does not listen yet.

    Args:
        host: name or address of this machine.
        port: 0 takes a free one.

    Raises:
        UsageError: another program has the port, or the host is none of this machine's.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"host '{host}' is unknown; give an address of this machine") from error
    bound = socket.socket(family, kind)
    # On Windows the same word would let two programs share a port.
    if sys.platform != "win32":
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise UsageError(
            f"cannot listen on port {port} of '{host}': {error.strerror}; choose another --port "
            f"or --host"
        ) from error
    return bound


def is_loopback(bound: socket.socket) -> bool:
    """Whether a socket is reached from this machine alone."""
    return ipaddress.ip_address(bound.getsockname()[0].partition("%")[0]).is_loopback


def url_of(bound: socket.socket) -> str:
    """Where a socket is reached."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(service: Service, bound: socket.socket, started: Callable[[], None]) -> None:
    """Answer requests until SIGINT or SIGTERM; those in hand are then answered first.

    Nothing is logged, neither addresses nor names. A second signal does not wait for requests.

    Args:
        service: that answers; it stays the caller's to close.
        bound: of `bound_socket`; it is closed.
        started: called once requests are taken.
    """
    config = uvicorn.Config(
        application(service, loopback=is_loopback(bound)),
        # The one implementation that is everywhere.
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="critical",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=math.ceil(service.limits.deadline_seconds) + _MARGIN_SECONDS,
    )
    _Server(config, started).run(sockets=[bound])


class _Server(uvicorn.Server):
    """Says when it has started, and leaves signals as they were."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        before: dict[signal.Signals, Any] = {}
        for number in _ENDING:
            # Whoever started us may have said to ignore one; and only a main thread is asked.
            if signal.getsignal(number) is not signal.SIG_IGN:
                with contextlib.suppress(ValueError):
                    before[number] = signal.signal(number, self._end)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, _: int, __: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
