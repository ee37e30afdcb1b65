"""Worked vectors for the tests of the training floor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[3] / "shared" / "reference" / "vectors"


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], dict[str, Any]]:
    """Return a reader of one worked example; tests skip where the folder is absent."""

    def read(name: str) -> dict[str, Any]:
        path = VECTORS / f"{name}.json"
        if not path.is_file():
            pytest.skip("the worked vectors (../shared/reference/vectors) are not here")
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    return read
