"""What holds for every request: whom it is for, where it comes from, what goes with the reply."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realmnet_runtime.serving.replies import Declined, error_reply

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})


@dataclass(frozen=True)
class Guard:
    """An ASGI application around another.

    A page of another site, open in a browser on this machine, can send requests here, and, by a
    name of its own that it lets point here, read the replies. So a request must name this
    machine, and come from no other page.

    A reply given before the whole body came would be lost to whoever is still sending, so that
    the rest is first taken in and thrown away, within bounds.

    Attributes:
        inner: application.
        loopback: whether requests must be for a name of this machine itself.
        patience_bytes: of a body that are thrown away at most.
        patience_seconds: that this may take.
    """

    inner: ASGIApp
    loopback: bool = True
    patience_bytes: int = 256 << 20
    patience_seconds: float = 10.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or decline it."""
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _Remainder(receive, headers)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                await body.discard(self.patience_bytes, self.patience_seconds)
                given = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    given.setdefault(name, value)
                if not body.whole:
                    given["Connection"] = "close"
            await send(message)

        try:
            _require_own(headers, loopback=self.loopback)
        except Declined as error:
            reply = error_reply(error)
            declined = Response(reply.content, reply.status, media_type="application/json")
            await declined(scope, receive, send_on)
        else:
            await self.inner(scope, body.receive, send_on)


class _Remainder:
    """How much of a request's body is still to come."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._unasked = headers.get("expect", "").lower() == "100-continue"
        self.whole = not ("content-length" in headers or "transfer-encoding" in headers)

    async def receive(self) -> Message:
        self._unasked = False
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self.whole = True
        return message

    async def discard(self, most_bytes: int, seconds: float) -> None:
        # Who waits to be asked for the body has not begun to send it.
        if not self.whole and not self._unasked:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._discard(most_bytes), seconds)

    async def _discard(self, left: int) -> None:
        while not self.whole and left > 0:
            left -= len((await self.receive()).get("body", b""))


def _require_own(headers: Headers, *, loopback: bool) -> None:
    host = headers.get("host", "").lower()
    if loopback and _without_port(host) not in _LOOPBACK_NAMES:
        raise Declined("UnknownHost", "this service answers to the name of its own machine alone")
    origin = headers.get("origin")
    if origin is not None and origin.lower().partition("://")[2] != host:
        raise Declined("ForeignPage", "this service answers no page but its own")


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if port.isdigit() else host
