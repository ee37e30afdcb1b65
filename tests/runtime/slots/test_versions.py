"""Versions are compared as versions."""

from __future__ import annotations

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.errors import IncompatibleError
from realmnet_runtime.slots.versions import precedence

# The example of rule 11 of semantic versioning 2.0.0, and what is older and newer than all of it.
ASCENDING = [
    "0.9.9",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.2",
    "1.10",
    "1.10.0.1",
    "10",
]

releases = st.lists(st.integers(0, 12), min_size=1, max_size=5).map(lambda n: ".".join(map(str, n)))


def test_the_order_of_semantic_versioning() -> None:
    for older, newer in itertools.combinations(ASCENDING, 2):
        assert precedence(older) < precedence(newer)


@given(releases, releases)
def test_plain_numbers_are_ordered_as_by_packaging(one: str, other: str) -> None:
    version = pytest.importorskip("packaging.version").Version
    assert (precedence(one) < precedence(other)) == (version(one) < version(other))
    assert (precedence(one) == precedence(other)) == (version(one) == version(other))


def test_what_says_nothing_is_not_compared() -> None:
    assert precedence("1.2.0+site3") == precedence("1.2") == precedence("01.2")


@pytest.mark.parametrize(
    "version",
    [
        "",
        "v1",
        "1.",
        ".1",
        "1..2",
        "1.2-",
        "1 ",
        "1\n",
        "latest",
        "1" * 10,
        "\u0661.\u0662",
        "1-\u00e9",
    ],
)
def test_other_forms_are_refused(version: str) -> None:
    with pytest.raises(IncompatibleError, match="cannot be compared") as caught:
        precedence(version)
    assert len(str(caught.value)) < 300


@given(st.text(max_size=20))
def test_any_text_is_compared_or_refused(version: str) -> None:
    with contextlib.suppress(IncompatibleError):
        numbers, released, stage = precedence(version)
        assert released == (not stage)
        assert all(number >= 0 for number in numbers)
