"""Any bytes at all are answered or declined; none is an error of the service.

`REALMNET_FUZZ=1000 pytest tests/runtime/serving/test_fuzz.py` tries a thousand of each kind.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

FUZZ = settings(
    max_examples=int(os.environ.get("REALMNET_FUZZ", "60")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
FORM = b'--b\r\nContent-Disposition: form-data; name="p"; filename="f"\r\n\r\n%b\r\n--b--\r\n'
MAGIC = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"\0" * 128 + b"DICM")


def spliced(content: bytes, at: float, piece: bytes, lost: int) -> bytes:
    place = int(at * len(content))
    return content[:place] + piece + content[place + lost :]


splices = st.tuples(st.floats(0, 1), st.binary(max_size=64), st.integers(0, 400))


@FUZZ
@given(content=st.binary(max_size=2000), magic=st.sampled_from([b"", *MAGIC]))
def test_bytes(client: TestClient, content: bytes, magic: bytes) -> None:
    assert client.post("/predict?picture=1", content=magic + content).status_code == 422


@FUZZ
@given(splice=splices)
def test_damaged_pictures(
    client: TestClient, picture: bytes, splice: tuple[float, bytes, int]
) -> None:
    query = "picture=1&heat_maps=all&side=64"
    reply = client.post(f"/predict?{query}", content=spliced(picture, *splice))
    assert reply.status_code in {200, 422}
    assert set(reply.json()) >= {"input", "error"}


@FUZZ
@given(splice=splices, kind=st.sampled_from(["b", "b; x", '"b"', "bb", ""]))
def test_damaged_forms(
    client: TestClient, picture: bytes, splice: tuple[float, bytes, int], kind: str
) -> None:
    content = spliced(FORM % picture[:300], *splice)
    reply = client.post(
        "/predict",
        content=content,
        headers={"Content-Type": f"multipart/form-data; boundary={kind}"},
    )
    assert reply.status_code in {400, 422}


@FUZZ
@given(
    kind=st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60),
    query=st.dictionaries(
        st.sampled_from(["frame", "side", "heat_maps", "picture", "x"]), st.text(max_size=12)
    ),
)
def test_headers_and_queries(
    client: TestClient, picture: bytes, kind: str, query: dict[str, str]
) -> None:
    reply = client.post(
        "/predict",
        content=picture[:50],
        params=query,
        headers={"Content-Type": kind.encode("latin-1")},
    )
    assert reply.status_code in {400, 422}
