from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from realmnet_benchmarks.phantoms import HOSPITALS, SIGNS, PhantomCase

Make = Callable[..., PhantomCase]


@pytest.fixture
def make() -> Make:
    """Build a case from a label set and a strength of both; any field can be given."""

    def build(
        labels: tuple[str, str] = ("NoPS", "TFO"),
        strength: float = 0.6,
        **fields: Any,  # noqa: ANN401 - any field
    ) -> PhantomCase:
        values = {
            "patient": 7,
            "seed": 20_251,
            "eye": "OD",
            "image": 0,
            "hospital": HOSPITALS[0],
            "border": "device",
            "labels": labels,
            "severity": tuple(strength if name in labels else 0.0 for name in SIGNS),
        }
        return PhantomCase(**(values | fields))

    return build
