"""From a request's body to a picture file's bytes, held in memory alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import File, FormParser, parse_options_header

from realmnet_runtime.serving.replies import Declined

_FORM: Final = b"multipart/form-data"


@dataclass(frozen=True)
class Body:
    """What came.

    Attributes:
        content: every byte.
        content_type: header, as it came; empty where there was none.
    """

    content: bytes
    content_type: str

    def picture(self) -> bytes:
        """The picture file: the body, or the one file of a form; what it is tells its content.

        Raises:
            Declined: a form that is damaged, or holds no file or several.
        """
        kind, options = parse_options_header(self.content_type)
        if kind.lower() != _FORM:
            return self.content
        files = _files(self.content, options.get(b"boundary", b""))
        if len(files) != 1:
            raise Declined(
                "BadRequest", f"form with {len(files)} files; send one picture a request"
            )
        return files[0]


async def read_body(request: Request, largest: int, seconds: float | None) -> Body:
    """Take a request's body in.

    Args:
        request: whose body nobody has read.
        largest: bytes that are taken at most.
        seconds: that it may take; None for ever.

    Raises:
        Declined: it is larger, slower or compressed.
        ClientDisconnect: whoever sent it has gone.
    """
    require_size(request, largest)
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise Declined("CodedBody", "compressed body; send the picture file as it is")
    try:
        content = await asyncio.wait_for(_read(request, largest), seconds)
    except asyncio.TimeoutError as error:
        raise Declined(
            "UploadTooSlow", "the picture did not come within the deadline; send it again"
        ) from error
    return Body(content, request.headers.get("content-type", ""))


def require_size(request: Request, largest: int) -> None:
    """Refuse a body whose header says that it is too large, before it comes.

    Raises:
        Declined: it is.
    """
    declared = request.headers.get("content-length", "0")
    # HTTP's own parser has refused what is no number; of a long one the digits suffice.
    if len(declared.lstrip("0")) > 15 or int(declared) > largest:
        raise _too_large(largest)


async def _read(request: Request, largest: int) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > largest:
            raise _too_large(largest)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(largest: int) -> Declined:
    return Declined("BodyTooLarge", f"body of more than {largest} bytes; send a smaller picture")


def _files(content: bytes, boundary: bytes) -> list[bytes]:
    found: list[bytes] = []

    def keep(file: File) -> None:
        # In memory whatever its size: a patient's picture is not left in a temporary file.
        assert isinstance(file.file_object, BytesIO)  # noqa: S101 - by the configuration below
        found.append(file.file_object.getvalue())

    if not boundary:
        raise Declined("BadRequest", "form without a boundary; name it in the content type")
    try:
        parser = FormParser(
            _FORM.decode(),
            None,
            keep,
            boundary=boundary,
            config={"MAX_MEMORY_FILE_SIZE": len(content) + 1},
        )
        parser.write(content)
        parser.finalize()
    except FormParserError as error:
        raise Declined("BadRequest", "damaged form; send the picture file alone") from error
    return found
