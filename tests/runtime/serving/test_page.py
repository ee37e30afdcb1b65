"""The page, as a person uses it: in a browser, with the policy that the service sends."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from realmnet_runtime.bundles.default_bundle import find_default_bundle
from realmnet_runtime.errors import RealmnetError

from .conftest import Browser, Served

EXAMPLE = Path(__file__).parents[3] / "examples/phantom.jpg"
# A folder in which whoever looks at the pictures of the page finds them.
SHOTS = os.environ.get("REALMNET_SCREENSHOTS")


class Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.styled: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"src", "href", "action"}]
        self.styled += [tag for name, _ in attrs if name == "style" or name.startswith("on")]


def test_the_page_is_one_file_that_loads_nothing(client: TestClient) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    parser = Addresses()
    parser.feed(page.text)
    assert parser.found == ["data:,"]
    assert not parser.styled, "the policy would not let it work"
    assert not re.findall(r"https?://|@import|url\(", page.text)
    assert "Not a medical device" in page.text


def test_the_policy_lets_this_script_run_and_nothing_else(client: TestClient) -> None:
    policy = dict(
        part.strip().split(" ", 1)
        for part in client.get("/").headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/=]+'", policy["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/=]+'", policy["style-src"])
    assert policy["connect-src"] == "'self'"


@pytest.fixture
def demonstration() -> Path:
    try:
        return find_default_bundle()
    except RealmnetError:
        pytest.skip("the demonstration bundle is not installed")


def test_a_person_sees_crop_findings_and_heat_maps(
    serve_process: Callable[..., Served], browser: Browser, demonstration: Path, tmp_path: Path
) -> None:
    served = serve_process("--bundle", demonstration, "--deadline", "300")
    here = f"http://127.0.0.1:{served.port}/"
    browser.open(here)
    browser.wait_for("document.getElementById('statement').textContent.length > 10")
    assert "phantoms" in browser.evaluate("document.getElementById('notice').innerText")

    browser.choose_file("#file", EXAMPLE)
    browser.wait_for("document.querySelector('#labels li.found') !== null")
    answer = json.loads(browser.evaluate("document.getElementById('json').textContent"))
    shown = browser.evaluate(
        "[...document.querySelectorAll('#labels li.found')].map((line) => line.dataset.label)"
    )
    assert shown == answer["findings"]
    values = browser.evaluate(
        "[...document.querySelectorAll('#labels .value')].map((value) => value.textContent)"
    )
    assert values == [f"{p:.3f}" for p in answer["probabilities"].values()]
    rectangle = browser.evaluate(
        "['x', 'y', 'width', 'height']"
        ".map((name) => +document.querySelector('#marks rect').getAttribute(name))"
    )
    x0, y0, x1, y1 = answer["field_of_view"]["box"]
    assert rectangle == [x0, y0, x1 - x0, y1 - y0]

    folder = Path(SHOTS) if SHOTS else tmp_path
    browser.screenshot(folder / "answered.png")
    for label in answer["findings"]:
        browser.evaluate(f"document.querySelector('#maps [data-label=\"{label}\"]').click()")
        browser.wait_for(
            "(() => { const heat = document.getElementById('heat');"
            " return !heat.hidden && heat.complete && heat.naturalWidth > 0; })()"
        )
        browser.screenshot(folder / f"heat-{label}.png")
    plain, hot = (
        cv2.imread(str(folder / name)).astype(int)
        for name in ("answered.png", f"heat-{answer['findings'][-1]}.png")
    )
    assert np.abs(plain - hot).max(axis=2).mean() > 0.5, "no heat map is seen"
    assert browser.complaints() == []
    assert {url for url in browser.requested() if not url.startswith((here, "data:"))} == set()


def test_a_person_is_told_why_there_is_no_answer(
    serve_process: Callable[..., Served],
    browser: Browser,
    tiny_bundle: Path,
    blurred: bytes,
    tmp_path: Path,
) -> None:
    served = serve_process("--bundle", tiny_bundle, "--engine", "auto", "--deadline", "300")
    browser.open(f"http://127.0.0.1:{served.port}/")
    (tmp_path / "notes.png").write_bytes(b"no picture at all")
    browser.choose_file("#file", tmp_path / "notes.png")
    browser.wait_for("!document.getElementById('problem').hidden")
    told = browser.evaluate("document.getElementById('problem').innerText")
    assert told.startswith("UnreadableImage:")
    assert "notes" not in told

    (tmp_path / "blurred.png").write_bytes(blurred)
    browser.choose_file("#file", tmp_path / "blurred.png")
    browser.wait_for("document.body.dataset.state === 'answered'")
    assert browser.evaluate("document.getElementById('quality').textContent") == "Ungradable"
    assert browser.evaluate("document.getElementById('labels-room').hidden")
    assert browser.evaluate("document.querySelectorAll('#reasons li').length") > 0
    if SHOTS:
        browser.screenshot(Path(SHOTS) / "ungradable.png")
    browser.evaluate("document.getElementById('anyway').click()")
    browser.wait_for("document.querySelectorAll('#labels li').length === 7")
    assert not browser.evaluate("document.getElementById('labels-room').hidden")
