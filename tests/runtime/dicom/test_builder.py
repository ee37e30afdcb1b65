"""The files these tests are made of are valid wherever the standard has their like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
MakeEye = Callable[..., Any]
Validate = Callable[[bytes], list[str]]


# The standard has no YBR_FULL in JPEG and no longer has uncompressed YBR_FULL_422. Both are met and
# read, and no file that holds them can be valid.
@pytest.mark.parametrize(
    ("photometric", "syntaxes"),
    [
        ("RGB", ("explicit", "implicit", "rle", "jpeg", "jpeg extended")),
        ("YBR_FULL", ("explicit", "implicit", "rle")),
        ("YBR_FULL_422", ("jpeg", "jpeg extended")),
        ("MONOCHROME1", ("explicit", "implicit", "rle", "jpeg", "jpeg extended")),
        ("MONOCHROME2", ("explicit", "implicit", "rle", "jpeg", "jpeg extended")),
        ("PALETTE COLOR", ("explicit", "implicit", "rle")),
    ],
)
def test_files_of_these_tests_are_valid(
    make_eye: MakeEye,
    small: Picture,
    complaints: Validate,
    photometric: str,
    syntaxes: tuple[str, ...],
) -> None:
    ramps = np.tile(np.arange(256, dtype=np.uint8)[:, np.newaxis], 3)
    palette = ramps if photometric == "PALETTE COLOR" else None
    picture = small if photometric[:3] in {"RGB", "YBR"} else small[..., 0]
    for syntax in syntaxes:
        made = make_eye([picture], syntax=syntax, photometric=photometric, palette=palette)
        assert complaints(made.encode()) == []


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4"])
def test_captures_of_these_tests_are_valid(
    make_eye: MakeEye, small: Picture, complaints: Validate, sop_class: str
) -> None:
    assert complaints(make_eye([small], sop_class=sop_class).encode()) == []
    if sop_class.endswith(".4"):
        assert complaints(make_eye([small, small], sop_class=sop_class).encode()) == []
