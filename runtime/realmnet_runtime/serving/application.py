"""The HTTP side of a service."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from realmnet_runtime._version import __version__
from realmnet_runtime.serving.guard import Guard
from realmnet_runtime.serving.measures import METRICS_TYPE
from realmnet_runtime.serving.page import PAGE, PAGE_POLICY
from realmnet_runtime.serving.replies import Declined, DeclinedKind, Reply, error_reply
from realmnet_runtime.serving.service import Service
from realmnet_runtime.serving.wishes import Wishes

_JSON: Final = "application/json"
_RETRY_SECONDS: Final = "1"
_PICTURE: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "A picture or DICOM file: the body itself, or the one file of a form.",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"picture": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}


def application(service: Service, *, loopback: bool = True) -> Guard:
    """The ASGI application of a service.

    Args:
        service: that answers.
        loopback: whether it is reached from this machine alone, so that requests for any other
            name are declined.

    Returns:
        FastAPI's application, guarded. Its own pages of documentation, which load scripts from
        elsewhere, are off; `/openapi.json` is there.
    """
    api = FastAPI(
        title="realmnet serve",
        summary="Answers of a RealMNet bundle. Research use only. Not a medical device.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    api.add_exception_handler(RequestValidationError, _wrong_query)
    api.add_exception_handler(HTTPException, _wrong_path)

    @api.get("/", include_in_schema=False)
    async def page() -> Response:
        policy = {"Content-Security-Policy": PAGE_POLICY}
        return Response(PAGE, headers=policy, media_type="text/html")

    @api.get("/health", summary="Whether it lives and takes on a request; what answers.")
    async def health() -> Response:
        said = service.health()
        return Response(
            msgspec.json.encode(said) + b"\n",
            HTTPStatus.OK if said["ready"] else HTTPStatus.SERVICE_UNAVAILABLE,
            media_type=_JSON,
        )

    @api.get("/metrics", summary="Counts and times, in the text form of Prometheus.")
    async def metrics() -> Response:
        return Response(service.measures.text(), headers={"Content-Type": METRICS_TYPE})

    @api.post("/predict", summary="Answer a picture.", openapi_extra=_PICTURE)
    async def predict(request: Request, wishes: Annotated[Wishes, Query()]) -> Response:
        return _response(await service.answer(request, wishes))

    return Guard(
        api,
        loopback=loopback,
        patience_bytes=4 * service.limits.largest_bytes,
        patience_seconds=service.limits.deadline_seconds,
    )


def _response(reply: Reply) -> Response:
    busy = reply.status == HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Retry-After": _RETRY_SECONDS} if busy else None
    return Response(reply.content, reply.status, headers, _JSON)


async def _wrong_query(_: Request, error: Exception) -> Response:
    # By our own names alone: what came may hold anything.
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    places = {place for fault in faults for place in fault["loc"]}
    wrong = [
        f"'{name}' of the query has a wrong value" for name in Wishes.model_fields if name in places
    ]
    what = ", ".join(wrong) or "the query has a parameter that is not known"
    return _declined(
        "BadRequest", f"{what}; see /openapi.json for {', '.join(Wishes.model_fields)}"
    )


async def _wrong_path(_: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _declined("WrongMethod", "another method is needed; POST /predict, GET all else")
    return _declined("NoSuchPath", "no such path; there are /, /predict, /health and /metrics")


def _declined(kind: DeclinedKind, message: str) -> Response:
    return _response(error_reply(Declined(kind, message)))
