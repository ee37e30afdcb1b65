"""What holds for all tests, and the one place where what is absent becomes a skip or a failure."""

from __future__ import annotations

import os
import shutil
from types import ModuleType
from typing import Final, NoReturn

import pytest
from hypothesis import settings

# Speed is measured by benchmarks/suite, never by a test.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")

PROGRAMS: Final = {
    "dciodvfy": (("dciodvfy",), "dicom3tools"),
    "cxx": (("g++",), "g++"),
    "cmake": (("cmake",), "cmake"),
    "make": (("make",), "make"),
    "chromium": (("chromium", "chromium-browser"), "chromium"),
}
"""What a test may need -> names of the program, and the package of Debian that brings it."""

EXTRAS: Final = ("dicom", "openvino", "serve", "signature")
"""Extras that a test may need."""

VARIABLE: Final = "REALMNET_REQUIRE"
REQUIRED: Final = frozenset(os.environ.get(VARIABLE, "").replace(",", " ").split())
"""What must be there: a test that would be skipped for want of it fails. CI names all of it."""


def pytest_configure() -> None:
    unknown = sorted(REQUIRED.difference(PROGRAMS, EXTRAS))
    if unknown:
        raise pytest.UsageError(
            f"{VARIABLE} names {', '.join(unknown)}; it may name "
            f"{', '.join(sorted([*PROGRAMS, *EXTRAS]))}"
        )


def need_program(what: str) -> str:
    """Path of a program of `PROGRAMS`; where it is absent the test is skipped, or fails."""
    names, package = PROGRAMS[what]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        _absent(what, f"{names[0]} is not installed: apt-get install {package}")
    return found


def need_package(name: str, extra: str) -> ModuleType:
    """A package that an extra of `EXTRAS` brings; where it is absent the test is skipped, or fails.

    At the head of a module it is the whole module that is.
    """
    if extra not in EXTRAS:
        raise ValueError(f"'{extra}' is none of {', '.join(EXTRAS)}")
    try:
        return pytest.importorskip(name)
    except pytest.skip.Exception:
        _absent(extra, f"{name} is not installed: it comes with the extra '{extra}'")


def _absent(what: str, reason: str) -> NoReturn:
    if what in REQUIRED:
        pytest.fail(f"{reason}; {VARIABLE} names {what}", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
