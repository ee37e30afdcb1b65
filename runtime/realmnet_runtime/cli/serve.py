"""`realmnet serve`: answers by HTTP on this machine, and one page for a person."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import cv2
import typer

from realmnet_runtime.audit import AuditLog
from realmnet_runtime.cli.options import Opening, grouped
from realmnet_runtime.cli.outputs import say
from realmnet_runtime.serving import Service, ServiceLimits, bound_socket
from realmnet_runtime.serving import serve as serve_on
from realmnet_runtime.serving.server import is_loopback, url_of

_LIMITS: Final = ServiceLimits()
_MIB: Final = 1 << 20


@grouped
def serve(  # noqa: PLR0917 - the options of a command are all by name
    opening: Opening,
    host: Annotated[
        str, typer.Option(help="Address to listen on; there is neither TLS nor a password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8400,
    largest: Annotated[
        int, typer.Option(min=1, max=1024, help="MiB of a request at most.")
    ] = _LIMITS.largest_bytes // _MIB,
    waiting: Annotated[
        int, typer.Option(min=0, max=1000, help="Requests that may wait; more are 503.")
    ] = _LIMITS.waiting,
    deadline: Annotated[
        float, typer.Option(help="Seconds from a request to its answer; else 504.")
    ] = _LIMITS.deadline_seconds,
    audit: Annotated[
        Path | None, typer.Option(help="Append every answer and refusal to this chained log.")
    ] = None,
) -> None:
    """Answer pictures that are sent by HTTP, and show a page where a person drops one.

    Runs until Ctrl-C or SIGTERM, which wait for the requests in hand. Research use only. Not a
    medical device.
    """
    limits = ServiceLimits(largest_bytes=largest * _MIB, waiting=waiting, deadline_seconds=deadline)
    log = None if audit is None else AuditLog(audit)
    with ExitStack() as stack:
        # Before the model is loaded, which takes longer.
        bound = stack.enter_context(bound_socket(host, port))
        predictor = stack.enter_context(opening.open())
        # OpenCV's own pool would otherwise take every core for decoding and resizing, and its log
        # would tell in its own words of every body that is no picture.
        cv2.setNumThreads(predictor.threads)
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        # The first picture would otherwise wait for what the engine does once.
        predictor.warm_up()
        service = stack.enter_context(Service(predictor, limits, log=log, tell=say))
        if not is_loopback(bound):
            say("other machines reach this service, which has neither TLS nor a password")
        where, name = url_of(bound), predictor.variant.name
        serve_on(service, bound, lambda: say(f"serving on {where} with {name}"))
    # It ends by a signal only.
    raise KeyboardInterrupt
