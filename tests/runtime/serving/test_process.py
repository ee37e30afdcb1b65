"""`realmnet serve` in a process of its own: many at a time, signals, its streams."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from .conftest import LONG, PROGRAM, Ask, Served, comparable

Start = Callable[..., Served]
TOGETHER = 64


def post(port: int, content: bytes) -> tuple[int, str | None, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
    try:
        connection.request("POST", "/predict", content)
        reply = connection.getresponse()
        return reply.status, reply.getheader("Retry-After"), reply.read()
    finally:
        connection.close()


def peak_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


def test_64_at_once_are_answered_rightly_or_told_to_come_again(
    serve_process: Start,
    tiny_bundle: Path,
    an_engine: str,
    eye: NDArray[np.uint8],
    expected: Ask,
) -> None:
    small = cv2.resize(eye, (160, 120), interpolation=cv2.INTER_AREA)
    pictures = [
        cv2.imencode(".png", np.roll(small, shift, axis=1)[:, :, ::-1])[1].tobytes()
        for shift in range(-4, 4)
    ]
    # Every other body is no picture, and 4 MiB long: together they would take 128 MiB.
    large = bytes(4 << 20)
    served = serve_process(
        *("--bundle", tiny_bundle, "--variant", f"{an_engine}-fp32", "--threads", "1"),
        *("--waiting", "4", "--deadline", LONG),
    )
    assert post(served.port, pictures[0])[0] == 200
    before = peak_mib(served.process.pid) if sys.platform == "linux" else 0.0
    replies: dict[int, tuple[int, str | None, bytes]] = {}
    begin = threading.Barrier(TOGETHER)

    def ask(number: int) -> None:
        content = large if number % 2 else pictures[number // 2 % len(pictures)]
        begin.wait(LONG)
        replies[number] = post(served.port, content)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(TOGETHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert len(replies) == TOGETHER, "some got no reply"
    told = Counter(status for status, _, _ in replies.values())
    sys.stdout.write(f"of {TOGETHER} at once: {dict(told)}\n")
    assert set(told) <= {200, 422, 503}
    for number, (status, retry, content) in replies.items():
        assert status == 503 or status == (422 if number % 2 else 200)
        assert (retry is not None) == (status == 503)
        if status == 200:
            answer = comparable(json.loads(content))
            assert answer == expected(pictures[number // 2 % len(pictures)])
    if sys.platform == "linux":
        grown = peak_mib(served.process.pid) - before
        sys.stdout.write(f"peak memory grew by {grown:.0f} MiB\n")
        # Six admitted bodies, each once more while it is put together, and sixty in passing.
        assert grown < 90
    assert post(served.port, pictures[1])[0] == 200
    assert served.stop() == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_signal_waits_for_the_request_in_hand(
    serve_process: Start, tiny_bundle: Path, picture: bytes, number: int
) -> None:
    served = serve_process("--bundle", tiny_bundle, "--threads", "1", "--deadline", LONG)
    with socket.create_connection(("127.0.0.1", served.port), LONG) as connection:
        head = (
            f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(picture)}\r\n\r\n"
        )
        connection.sendall(head.encode() + picture[:100])
        until = time.monotonic() + LONG
        while in_hand(served.port) < 1:
            assert time.monotonic() < until
        served.process.send_signal(number)
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", served.port), LONG).close()
            except OSError:
                break
            time.sleep(0.05)
        assert served.process.poll() is None
        connection.sendall(picture[100:])
        reply = b""
        while piece := connection.recv(1 << 16):
            reply += piece
    assert reply.startswith(b"HTTP/1.1 200 ")
    assert b'"probabilities"' in reply
    assert served.process.wait(LONG) == 130
    started, ended = served.lines()
    assert started.startswith("realmnet: serving on http://127.0.0.1:")
    assert ended == "realmnet: interrupted"


def in_hand(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
    connection.request("GET", "/health")
    try:
        return int(json.loads(connection.getresponse().read())["in_hand"])
    finally:
        connection.close()


def one_line(*words: str | Path, before: str = "") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM, "serve", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=LONG,
        check=False,
    )
    (line,) = done.stderr.splitlines()
    return done.returncode, line


def test_a_port_in_use_is_2_and_one_line() -> None:
    pytest.importorskip("typer", reason="the command needs the extra 'cli'")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, line = one_line("--port", str(port))
    assert code == 2
    assert f"port {port}" in line
    assert "--port" in line


@pytest.mark.parametrize("absent", ["fastapi", "python_multipart"])
def test_without_its_extra_it_says_which_install(absent: str) -> None:
    pytest.importorskip("typer", reason="the command needs the extra 'cli'")
    code, line = one_line(before=f"import sys\nsys.modules[{absent!r}] = None\n")
    assert code == 2
    assert f"needs {absent}" in line
    assert "pip install 'realmnet-runtime[cli,serve]'" in line
