"""How every route is asked: alone over files, or block by block by whoever compares routes.

A route is a function of a file's path that returns the labels found. With `--serve` it reads one
JSON list of paths a line and answers one JSON object a line, so that several routes, each in its
own process, take turns within one run. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence

Route = Callable[[str], Sequence[str]]


def options(description: str | None) -> argparse.ArgumentParser:
    """The options of every route."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("files", nargs="*", help="Pictures; answered --rounds times.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--serve", action="store_true", help="Read blocks of paths from stdin.")
    return parser


def run(route: Route, given: argparse.Namespace) -> None:
    """Answer what was asked and print seconds by picture."""
    if given.serve:
        _tell({"ready": True})
        for line in sys.stdin:
            _tell(_block(route, json.loads(line)))
        return
    if not given.files:
        sys.exit("name at least one picture")
    _block(route, given.files)
    blocks = [_block(route, given.files) for _ in range(given.rounds)]
    seconds = [second for block in blocks for second in block["seconds"]]
    _tell({"median_ms": 1e3 * statistics.median(seconds), "blocks": blocks})


def _block(route: Route, files: Sequence[str]) -> dict[str, list]:
    seconds, findings = [], []
    for file in files:
        begun = time.perf_counter()
        found = route(file)
        seconds.append(time.perf_counter() - begun)
        findings.append(list(found))
    return {"seconds": seconds, "findings": findings}


def _tell(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
