"""Which of two versions of a model is the newer one."""

from __future__ import annotations

import re
from typing import Final

from realmnet_runtime.errors import IncompatibleError

_FORM: Final = re.compile(
    r"(?P<numbers>\d{1,9}(?:\.\d{1,9}){0,7})"
    r"(?:-(?P<stage>[0-9A-Za-z-]{1,30}(?:\.[0-9A-Za-z-]{1,30}){0,7}))?"
    r"(?:\+[0-9A-Za-z.-]{1,60})?"
)

Precedence = tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def precedence(version: str) -> Precedence:
    """What a version is compared by: the greater is the newer.

    The form is that of semantic versioning (https://semver.org, rule 11) with one to eight
    numbers: `1`, `1.10`, `2.0.0-rc.1`, `2.0.0+site3`. Numbers compare as numbers and `1` is `1.0`;
    a version with a stage (`-rc.1`) is older than the one without; what follows `+` says nothing.

    Raises:
        IncompatibleError: the version has another form.
    """
    match = _FORM.fullmatch(version)
    if match is None or not version.isascii():
        raise IncompatibleError(
            f"model version '{version[:80]}' cannot be compared with others; versions such as "
            f"1.10, 2.0.0 or 2.0.0-rc.1 can: release the bundle under one"
        )
    numbers = [int(number) for number in match["numbers"].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    parts = match["stage"].split(".") if match["stage"] else []
    stage = tuple((False, int(p), "") if p.isdigit() else (True, 0, p) for p in parts)
    return tuple(numbers), not stage, stage
