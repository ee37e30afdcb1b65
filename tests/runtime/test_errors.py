from __future__ import annotations

import re

import pytest

from realmnet_runtime import errors

# The exit codes of the design, by what happened.
DESIGN = {
    "RealmnetError": 1,
    "UsageError": 2,
    "ConfigurationError": 2,
    "MissingPath": 2,
    "BackendUnavailable": 3,
    "DeadlineExceeded": 3,
    "GateFailed": 4,
    "IntegrityError": 5,
    "IncompatibleError": 6,
    "ImageRefused": 7,
    "UnreadableImage": 7,
    "NoFieldOfView": 7,
    "OutputError": 8,
}


def drawn_tree() -> dict[str, tuple[str | None, int]]:
    """Parent and exit code of each class, read off the drawing in the module's docstring."""
    tree: dict[str, tuple[str | None, int]] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"(?P<branch>[ │├└─]*)(?P<name>\w+) +(?P<code>\d) ", line)
        if match:
            depth = len(match["branch"])
            above = [(d, name) for d, name in above if d < depth]
            tree[match["name"]] = (above[-1][1] if above else None, int(match["code"]))
            above.append((depth, match["name"]))
    return tree


def classes() -> dict[str, type[errors.RealmnetError]]:
    found = [errors.RealmnetError]
    for parent in found:
        found.extend(parent.__subclasses__())
    return {kind.__name__: kind for kind in found if kind.__module__ == errors.__name__}


def test_the_drawing_is_the_tree() -> None:
    drawn = drawn_tree()
    assert drawn.keys() == classes().keys()
    for name, (parent, code) in drawn.items():
        kind = classes()[name]
        assert kind.exit_code == code
        assert kind.__base__ is not None
        assert kind.__base__.__name__ == (parent or "Exception")


def test_exit_codes_are_the_designs() -> None:
    assert {name: kind.exit_code for name, kind in classes().items()} == DESIGN
    assert errors.INTERRUPTED_EXIT_CODE == 130


@pytest.mark.parametrize("name", DESIGN)
def test_an_error_is_caught_as_each_of_its_kinds(name: str) -> None:
    with pytest.raises(errors.RealmnetError, match=r"^what, allowed, cure$"):
        raise classes()[name]("what, allowed, cure")
