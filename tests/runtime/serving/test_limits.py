"""What is declined, and that the service goes on."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from realmnet_runtime import Predictor, UsageError
from realmnet_runtime.serving import Service, ServiceLimits, application, bound_socket
from realmnet_runtime.serving.server import is_loopback, url_of

from .conftest import HERE, LONG, client_of

Limited = Callable[..., tuple[Service, TestClient]]


def outcome(client: TestClient, kind: str) -> float:
    (line,) = [
        line
        for line in client.get("/metrics").text.splitlines()
        if line.startswith(f'realmnet_requests_total{{outcome="{kind}"}}')
    ]
    return float(line.split()[-1])


def pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


@pytest.mark.parametrize("whole", [True, False], ids=["with its length", "in pieces"])
def test_a_body_that_is_too_large_is_413(limited: Limited, picture: bytes, *, whole: bool) -> None:
    _, client = limited(largest_bytes=len(picture))
    assert client.post("/predict", content=picture).status_code == 200
    content = picture + b"x"
    reply = client.post("/predict", content=content if whole else pieces(content))
    assert reply.status_code == 413
    assert str(len(picture)) in reply.json()["error"]["message"]
    assert outcome(client, "too_large") == 1
    assert client.post("/predict", content=picture).status_code == 200


def test_a_request_beyond_those_in_hand_is_503(
    limited: Limited, predictor: Predictor, picture: bytes
) -> None:
    service, client = limited(at_once=1, waiting=1, deadline_seconds=LONG)
    statuses: list[int] = []

    def post() -> None:
        statuses.append(client.post("/predict", content=picture).status_code)

    with predictor._turn:  # the engine is busy with another
        threads = [threading.Thread(target=post) for _ in range(2)]
        for thread in threads:
            thread.start()
        while service.health()["in_hand"] < 2:
            time.sleep(0.01)
        reply = client.post("/predict", content=picture)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert reply.json()["error"]["kind"] == "Busy"
        health = client.get("/health")
        assert (health.status_code, health.json()["ready"]) == (503, False)
    for thread in threads:
        thread.join(LONG)
    assert statuses == [200, 200]
    assert client.get("/health").status_code == 200
    assert client.post("/predict", content=picture).status_code == 200


def test_no_answer_in_time_is_504_and_the_next_one_is_answered(
    limited: Limited, predictor: Predictor, picture: bytes
) -> None:
    _, client = limited(at_once=1, deadline_seconds=0.3)
    _, patient = limited(deadline_seconds=LONG)
    with predictor._turn:
        reply = client.post("/predict", content=picture)
        assert reply.status_code == 504
        assert reply.json()["error"]["kind"] == "DeadlineExceeded"
    assert outcome(client, "deadline") == 1
    assert patient.post("/predict", content=picture).status_code == 200


def asked(
    service: Service, messages: list[dict[str, Any]], *headers: tuple[bytes, bytes]
) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers of a request whose body comes as these messages, and then no more."""
    sent: list[Any] = []

    async def receive() -> Any:  # noqa: ANN401 - an ASGI message
        if not messages:
            await asyncio.sleep(LONG)
        return messages.pop(0)

    async def send(message: Any) -> None:  # noqa: ANN401
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/predict",
        "raw_path": b"/predict",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), *headers],
    }
    asyncio.run(application(service)(scope, receive, send))
    return sent[0]["status"], dict(sent[0]["headers"])


def test_a_body_that_does_not_come_is_408(predictor: Predictor, picture: bytes) -> None:
    half = {"type": "http.request", "body": picture[:99], "more_body": True}
    with Service(predictor, ServiceLimits(deadline_seconds=0.2)) as service:
        length = (b"content-length", b"%d" % len(picture))
        status, headers = asked(service, [half], length)
        assert service.health()["in_hand"] == 0
    assert status == 408
    # What would still come is not read, so the connection is of no more use.
    assert headers[b"connection"] == b"close"


def test_who_goes_in_the_middle_is_not_missed(predictor: Predictor, picture: bytes) -> None:
    half = {"type": "http.request", "body": picture[:99], "more_body": True}
    with Service(predictor) as service, client_of(service) as client:
        asked(service, [half, {"type": "http.disconnect"}], (b"content-length", b"9999"))
        assert service.health()["in_hand"] == 0
        assert outcome(client, "gone") == 1


def test_what_was_not_asked_for_is_not_waited_for(predictor: Predictor) -> None:
    """Whoever sends `Expect: 100-continue` is told before the body comes."""
    with Service(predictor) as service:
        started = time.monotonic()
        status, _ = asked(
            service,
            [],
            (b"content-length", b"999999999"),
            (b"expect", b"100-continue"),
        )
        assert time.monotonic() - started < service.limits.deadline_seconds
    assert status == 413


@pytest.mark.parametrize(
    "query", ["frame=0", "frame=x", "heat_maps=some", "side=1e9", "picture=7", "Zwickelhuber=1"]
)
def test_a_wrong_query_is_400_and_not_repeated(
    client: TestClient, picture: bytes, query: str
) -> None:
    reply = client.post(f"/predict?{query}", content=picture)
    assert reply.status_code == 400
    assert reply.json()["error"]["kind"] == "BadRequest"
    assert "Zwickelhuber" not in reply.text
    assert "heat_maps" in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("multipart/form-data", b"anything"),
        ("multipart/form-data; boundary=b", b"no form at all"),
        ("multipart/form-data; boundary=b", b"--b\r\nbad header\r\n\r\n\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 999, b""),
    ],
)
def test_a_damaged_form_is_400(client: TestClient, kind: str, content: bytes) -> None:
    reply = client.post("/predict", content=content, headers={"Content-Type": kind})
    assert reply.status_code == 400, reply.text


def test_a_form_has_one_picture(client: TestClient, picture: bytes) -> None:
    files = [("picture", ("a", picture)), ("picture", ("b", picture))]
    assert client.post("/predict", files=files).status_code == 400
    reply = client.post("/predict", content=picture, headers={"Content-Encoding": "gzip"})
    assert reply.status_code == 415


def test_paths_and_methods(client: TestClient) -> None:
    for path in ("/Zwickelhuber", "/predict/", "/health/x"):
        reply = client.get(path)
        assert (reply.status_code, reply.json()["error"]["kind"]) == (404, "NoSuchPath")
        assert "Zwickelhuber" not in reply.text
    assert client.get("/predict").status_code == 405
    assert client.post("/health").status_code == 405


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:80"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "localhost:8400"}, 200),
        ({"Host": "[::1]:8400"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": HERE}, 200),
    ],
)
def test_pages_of_other_sites_are_not_answered(
    client: TestClient, picture: bytes, headers: dict[str, str], status: int
) -> None:
    assert client.post("/predict", content=picture, headers=headers).status_code == status


def test_where_it_was_asked_to_serve_others_any_name_will_do(predictor: Predictor) -> None:
    with Service(predictor) as service, client_of(service, loopback=False) as client:
        assert client.get("/health", headers={"Host": "camera.clinic"}).status_code == 200


def test_every_reply_forbids_what_it_need_not_allow(client: TestClient) -> None:
    for path in ("/", "/health", "/metrics", "/nothing"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "access-control-allow-origin" not in headers


def test_what_nobody_foresaw_is_500_and_told_by_its_class(
    predictor: Predictor, picture: bytes
) -> None:
    told: list[str] = []
    with Service(predictor, tell=told.append) as service, client_of(service) as client:
        answering, service._responder = service._responder, None  # type: ignore[assignment]
        reply = client.post("/predict", content=picture)
        assert (reply.status_code, reply.json()["error"]["kind"]) == (500, "Unforeseen")
        assert told == ["a request failed: unexpected AttributeError"]
        service._responder = answering
        assert client.post("/predict", content=picture).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"largest_bytes": 0},
        {"at_once": 0},
        {"waiting": -1},
        {"deadline_seconds": 0.0},
        {"deadline_seconds": float("nan")},
        {"deadline_seconds": 1e9},
    ],
)
def test_limits_are_possible_ones(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ServiceLimits(**wrong)


def test_addresses() -> None:
    with bound_socket("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        assert is_loopback(bound)
        assert url_of(bound) == f"http://127.0.0.1:{port}"
        bound.listen()
        with pytest.raises(UsageError, match=f"port {port} .*--port"):
            bound_socket("127.0.0.1", port)
    with pytest.raises(UsageError, match="unknown"):
        bound_socket("no such host", 0)
    with pytest.raises(UsageError, match="--host"):
        bound_socket("192.0.2.1", 0)
    with bound_socket("0.0.0.0", 0) as bound:  # noqa: S104 - closed at once
        assert not is_loopback(bound)
    if socket.has_ipv6:
        try:
            bound = bound_socket("::1", 0)
        except UsageError:
            return
        with bound:
            assert is_loopback(bound)
            assert url_of(bound).startswith("http://[::1]:")
