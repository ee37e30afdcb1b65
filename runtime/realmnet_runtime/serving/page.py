"""The page for a person, and what a browser lets it do."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files
from typing import Final


def _read_page() -> str:
    return files("realmnet_runtime.serving").joinpath("page.html").read_text(encoding="utf-8")


def _hash_of(element: str, page: str) -> str:
    """As a policy names the one inline element of its kind."""
    (content,) = re.findall(f"<{element}>(.*?)</{element}>", page, re.DOTALL)
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


PAGE: Final = _read_page()
"""HTML with its style and script inside; it loads nothing from elsewhere."""

PAGE_POLICY: Final = "; ".join(
    [
        "default-src 'none'",
        f"script-src {_hash_of('script', PAGE)}",
        f"style-src {_hash_of('style', PAGE)}",
        "img-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
"""Content-Security-Policy: this script and this style, this service, pictures in the page."""
