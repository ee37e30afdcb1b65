"""A service in this process, one in a process of its own, and a browser for its page."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Predictor
from realmnet_runtime.signatures.trust import ANY_BUNDLE

from ...conftest import need_package, need_program

for needed in ("fastapi", "uvicorn", "python_multipart", "prometheus_client"):
    need_package(needed, "serve")

from starlette.testclient import TestClient  # noqa: E402

from realmnet_runtime.serving import Service, ServiceLimits, application  # noqa: E402

HERE = "http://127.0.0.1"
# A shell lets what it runs in the background ignore Ctrl-C, and children inherit that.
PROGRAM = (
    "import signal, sys\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from realmnet_runtime.cli import main\n"
    "sys.exit(main())"
)
# Of this machine no time is known: it may be busy with others, or frozen for a while.
LONG = 900.0

Ask = Callable[..., Any]


@pytest.fixture(scope="package")
def predictor(tiny_bundle: Path, an_engine: str) -> Iterator[Predictor]:
    with Predictor.open(
        tiny_bundle, variant=f"{an_engine}-fp32", threads=1, trust=ANY_BUNDLE
    ) as opened:
        yield opened


@pytest.fixture(scope="package")
def picture(eye: NDArray[np.uint8]) -> bytes:
    """A gradable picture of 160 x 120."""
    small = cv2.resize(eye, (160, 120), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".png", small[:, :, ::-1])[1].tobytes()


@pytest.fixture(scope="package")
def blurred(eye: NDArray[np.uint8]) -> bytes:
    """A picture that is ungradable."""
    small = cv2.GaussianBlur(cv2.resize(eye, (160, 120)), (0, 0), 6)
    return cv2.imencode(".png", small[:, :, ::-1])[1].tobytes()


@contextmanager
def client_of(service: Service, *, loopback: bool = True) -> Iterator[TestClient]:
    with TestClient(application(service, loopback=loopback), base_url=HERE) as client:
        yield client


@pytest.fixture
def limited(predictor: Predictor) -> Iterator[Callable[..., tuple[Service, TestClient]]]:
    """Services of other limits, and their clients."""
    opened: list[Any] = []

    def make(**limits: float) -> tuple[Service, TestClient]:
        service = Service(predictor, ServiceLimits(**limits))  # type: ignore[arg-type]
        manager = client_of(service)
        opened.extend((service, manager))
        return service, manager.__enter__()

    yield make
    for each in reversed(opened):
        each.__exit__(None, None, None)


@pytest.fixture(scope="package")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with Service(predictor) as service, client_of(service) as opened:
        yield opened


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from one time to the next."""
    changing = {"timings_ms", "time", "picture", "heat_maps"}
    return {name: value for name, value in answer.items() if name not in changing}


@pytest.fixture(scope="package")
def expected(predictor: Predictor) -> Ask:
    """What `realmnet predict --json` says of a picture."""

    def answer(data: bytes, **how: int) -> dict[str, Any]:
        said = json.loads(json.dumps(predictor.predict(data, **how).to_dict()))
        assert said["input"]["sha256"] == hashlib.sha256(data).hexdigest()
        return comparable(said)

    return answer


@dataclass
class Served:
    """`realmnet serve` in a process of its own."""

    process: subprocess.Popen[bytes]
    port: int
    errors: Path

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(LONG)

    def lines(self) -> list[str]:
        return self.errors.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def serve_process(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts services, each on a free port; what still runs in the end is killed."""
    pytest.importorskip("typer", reason="the command needs the extra 'cli'")
    running: list[subprocess.Popen[bytes]] = []

    def start(*words: str | Path) -> Served:
        errors = tmp_path / f"errors-{len(running)}"
        with errors.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, "serve", "--port", "0", "--allow-unsigned"]
                + [str(word) for word in words],
                stdout=subprocess.DEVNULL,
                stderr=stream,
            )
        running.append(process)
        until = time.monotonic() + LONG
        while time.monotonic() < until and process.poll() is None:
            found = re.search(r"serving on http://\S+:(\d+) ", errors.read_text(encoding="utf-8"))
            if found:
                return Served(process, int(found[1]), errors)
            time.sleep(0.05)
        pytest.fail(f"did not start: {errors.read_text(encoding='utf-8')}")

    yield start
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait(LONG)


# Chromium's DevTools protocol comes on descriptors 3 and 4, JSON with a zero byte behind each.
_LAUNCHER = """
import fcntl, os, sys
given, taken = (fcntl.fcntl(int(word), fcntl.F_DUPFD, 64) for word in sys.argv[1:3])
os.dup2(given, 3)
os.dup2(taken, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


@dataclass
class Browser:
    """A page in headless Chromium, driven by its DevTools protocol."""

    to: IO[bytes]
    back: IO[bytes]
    session: str | None = None
    number: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        self.to.write(json.dumps(message).encode() + b"\0")
        self.to.flush()
        while True:
            reply = self._next()
            if reply.get("id") == self.number:
                assert "error" not in reply, reply
                return dict(reply["result"])
            self.events.append(reply)

    def _next(self) -> dict[str, Any]:
        pieces = []
        while (byte := self.back.read(1)) != b"\0":
            assert byte, "the browser has ended"
            pieces.append(byte)
        return dict(json.loads(b"".join(pieces)))

    def open(self, url: str) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)
        # The blank page before it is complete as well.
        self.wait_for("location.protocol === 'http:' && document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:  # noqa: ANN401 - JSON
        said = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in said, said
        return said["result"].get("value")

    def wait_for(self, expression: str) -> None:
        until = time.monotonic() + LONG
        while not self.evaluate(expression):
            assert time.monotonic() < until, f"never came: {expression}"
            time.sleep(0.1)

    def choose_file(self, selector: str, path: Path) -> None:
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def screenshot(self, path: Path, *, width: int = 1440, height: int = 1000) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        shot = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(shot))

    def complaints(self) -> list[str]:
        """What the console, the policy or the network had to say."""
        kinds = {"Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"}
        return [json.dumps(event) for event in self.events if event.get("method") in kinds]

    def requested(self) -> set[str]:
        """Every address the page asked for."""
        return {
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        }


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    chromium = need_program("chromium")
    theirs, ours = os.pipe()
    back, given = os.pipe()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _LAUNCHER, str(theirs), str(given), chromium),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--remote-debugging-pipe", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--disable-background-networking", "--no-first-run", "--hide-scrollbars"),
        ],
        pass_fds=(theirs, given),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    os.close(given)
    with os.fdopen(ours, "wb") as to, os.fdopen(back, "rb") as replies:
        opened = Browser(to, replies)
        yield opened
        opened.session = None
        opened.call("Browser.close")
    process.wait(LONG)
