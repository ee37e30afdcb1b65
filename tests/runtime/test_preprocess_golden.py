"""The golden files that `golden/make_preprocess.py` wrote: what bundles in the field rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import FieldOfView
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, prepare, tensor_digest, to_tensor

FOLDER = Path(__file__).parent / "golden" / "preprocess"
GOLDEN: dict[str, Any] = json.loads((FOLDER / "golden.json").read_text())
CASES: dict[str, dict[str, Any]] = GOLDEN["cases"]


def largest_difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


def field_of_view(height: int, width: int) -> FieldOfView:
    x0, y0, x1, y1 = GOLDEN["box"]
    y, x = np.mgrid[:height, :width] + 0.5
    across = (2 * x - x0 - x1) / (x1 - x0)
    down = (2 * y - y0 - y1) / (y1 - y0)
    return FieldOfView((x0, y0, x1, y1), across**2 + down**2 <= 1)


@pytest.mark.parametrize(("model_size", "stage"), [(None, "full"), (24, "half")])
def test_decoded(model_size: int | None, stage: str) -> None:
    decoded = read_image(FOLDER / "picture.jpg", model_size=model_size)
    assert largest_difference(decoded, read_image(FOLDER / f"decoded_{stage}.png")) <= 1


@pytest.mark.parametrize("name", CASES)
def test_prepared(name: str) -> None:
    picture = read_image(FOLDER / "picture.png")
    spec = msgspec.convert(CASES[name]["spec"], PreprocessSpec)
    prepared = prepare(picture, spec, field_of_view(*picture.shape[:2]))
    # OpenCV promises the same bytes on every processor for `linear` only.
    allowed = 0 if spec.resize == "linear" else 1
    assert largest_difference(prepared, read_image(FOLDER / f"prepared_{name}.png")) <= allowed


@pytest.mark.parametrize("name", CASES)
def test_tensor(name: str) -> None:
    spec = msgspec.convert(CASES[name]["spec"], PreprocessSpec)
    tensor = to_tensor(read_image(FOLDER / f"prepared_{name}.png"), spec)
    assert tensor_digest(tensor) == CASES[name]["tensor_sha256"]


def test_specifications_are_written_out_in_full() -> None:
    """A default that changes must not change what a stored specification means."""
    for case in CASES.values():
        assert set(case["spec"]) == set(PreprocessSpec.__struct_fields__)
