"""The `realmnet` command: one table of verbs, one place where errors become exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Final

from realmnet_runtime._version import __version__
from realmnet_runtime.cli.outputs import ReaderGoneError, emit, say
from realmnet_runtime.cli.verbs import VERBS, load_verb, verb_cure
from realmnet_runtime.errors import (
    INTERRUPTED_EXIT_CODE,
    OutputError,
    RealmnetError,
    UsageError,
)
from realmnet_runtime.suggestions import nearest

__all__ = ["main"]

_DEBUG: Final = "--debug"
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `realmnet`.

    Args:
        arguments: without the program's name; those of the process by default.

    Returns:
        The exit code: 0 ok, 1 unexpected, 2 usage, 3 engine unavailable, 4 gate or self-test
        failed, 5 integrity, 6 incompatible, 7 input refused, 8 output not written,
        130 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = _DEBUG in given
    words = [word for word in given if word != _DEBUG]
    code = _answer(words, debug=debug)
    try:
        sys.stdout.flush()
    except OSError:
        # Whoever read our output has gone, or its disk is full; Python would try again at exit.
        _abandon_stdout()
        code = code or OutputError.exit_code
    return code


def _answer(words: list[str], *, debug: bool) -> int:
    try:
        return _run(words)
    except KeyboardInterrupt:
        _complain("interrupted")
        return INTERRUPTED_EXIT_CODE
    except ReaderGoneError as error:
        return error.exit_code
    except RealmnetError as error:
        if debug:
            traceback.print_exc()
        _complain(str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the edge of the program: one line for anybody
        return _unforeseen(error, debug=debug)


def _unforeseen(error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        _complain(f"nothing more could be written: {error.strerror}; free some space")
        return OutputError.exit_code
    hint = "" if debug else "; run again with --debug to see where"
    _complain(f"unexpected {type(error).__name__}: {' '.join(str(error).split())}{hint}")
    return RealmnetError.exit_code


def _run(words: list[str]) -> int:
    if not words:
        sys.stderr.write(f"{_overview()}\n")
        return UsageError.exit_code
    if words[0] in {"-h", "--help", "help"}:
        emit(f"{_overview()}\n")
        return 0
    if words[0] in {"-V", "--version"}:
        emit(f"realmnet {__version__}\n")
        return 0
    pair = " ".join(words[:2])
    if pair in VERBS:
        return load_verb(pair)(words[2:])
    name = words[0]
    if name not in VERBS:
        kind = "option" if name.startswith("-") else "verb"
        raise UsageError(
            f"no {kind} '{name}'; `realmnet --help` lists the verbs{nearest(name, VERBS)}"
        )
    return load_verb(name)(words[1:])


def _overview() -> str:
    width = max(len(name) for name in VERBS)
    lines = [
        "Usage: realmnet [--debug] VERB ...        realmnet VERB --help        realmnet --version",
        "",
        "De-bordering and multi-label inference of ultra-widefield retinal images.",
        "Research use only. Not a medical device.",
        "",
    ]
    lines += [f"  {name:<{width}}  {verb.summary}{_absence(name)}" for name, verb in VERBS.items()]
    return "\n".join(lines)


def _absence(name: str) -> str:
    cure = verb_cure(name)
    return f"  [{cure}]" if cure else ""


def _complain(text: str) -> None:
    with contextlib.suppress(OSError):
        say(text)


def _abandon_stdout() -> None:
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
