"""What a test needs and lacks is a skip, or a failure where it was required; CI requires it all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import conftest

CI = Path(__file__).parents[1] / ".ci" / "run"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No program is found, and nothing is required."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(conftest, "REQUIRED", frozenset())
    return monkeypatch


@pytest.mark.parametrize("what", conftest.PROGRAMS)
def test_an_absent_program_is_a_skip_or_a_failure(what: str, nowhere: pytest.MonkeyPatch) -> None:
    package = conftest.PROGRAMS[what][1]
    with pytest.raises(pytest.skip.Exception, match=re.escape(f"apt-get install {package}")):
        conftest.need_program(what)
    nowhere.setattr(conftest, "REQUIRED", frozenset({what}))
    with pytest.raises(pytest.fail.Exception, match=f"REALMNET_REQUIRE names {what}"):
        conftest.need_program(what)


def test_an_absent_package_is_a_skip_or_a_failure(nowhere: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.skip.Exception, match="comes with the extra 'dicom'"):
        conftest.need_package("no_such_package", "dicom")
    nowhere.setattr(conftest, "REQUIRED", frozenset({"dicom"}))
    with pytest.raises(pytest.fail.Exception, match="REALMNET_REQUIRE names dicom"):
        conftest.need_package("no_such_package", "dicom")
    assert conftest.need_package("re", "dicom") is re
    with pytest.raises(ValueError, match="'dicon' is none of dicom, "):
        conftest.need_package("re", "dicon")


def test_a_requirement_that_nothing_asks_for_is_an_error(nowhere: pytest.MonkeyPatch) -> None:
    nowhere.setattr(conftest, "REQUIRED", frozenset({"dicom", "chrome"}))
    with pytest.raises(pytest.UsageError, match="REALMNET_REQUIRE names chrome; it may name"):
        conftest.pytest_configure()


def test_ci_installs_and_requires_every_program() -> None:
    script = CI.read_text()
    required = re.search(r'REALMNET_REQUIRE="([^"]+)"', script)
    assert required is not None
    assert set(required[1].split(",")) >= {*conftest.PROGRAMS, "dicom", "signature"}
    for names, package in conftest.PROGRAMS.values():
        assert f" {names[0]}:{package}" in script
