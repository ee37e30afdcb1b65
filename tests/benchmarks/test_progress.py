"""Progress: lines where nobody watches, a bar that goes away again on a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import sys
from collections.abc import Iterator

import pytest

from realmnet_benchmarks.progress import bar, on_terminal, reporting


@contextlib.contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Make stderr a pseudo-terminal; what it showed is in the list once the block is left."""
    shown: list[str] = []
    ours, theirs = pty.openpty()
    os.set_blocking(ours, False)
    with os.fdopen(theirs, "w", encoding="utf-8") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "120")
        yield shown
        stream.flush()
        pieces: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(ours, 1 << 16):
                pieces.append(piece)
        shown.append(b"".join(pieces).decode())
    os.close(ours)


def test_elsewhere_the_first_and_the_last_count_are_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not on_terminal()
    with reporting("pictures prepared") as report:
        for done in range(1, 6):
            report(done, 5)
    assert capsys.readouterr().err == "pictures prepared 1 of 5\npictures prepared 5 of 5\n"


def test_on_a_terminal_a_bar_shows_counts_and_notes_and_lines_pass_above_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with terminal(monkeypatch) as shown:
        assert on_terminal()
        with bar("epoch 1 of 2 [64 px]") as move:
            move(3, 8, ", loss 0.250")
            sys.stderr.write("a line beside it\n")
        sys.stderr.write("the end\n")
    assert "epoch 1 of 2 [64 px], loss 0.250" in shown[0]
    assert "3/8" in shown[0]
    assert shown[0].index("a line beside it") < shown[0].index("the end")
    assert shown[0].rstrip().endswith("the end")


def test_reporting_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch) as shown, reporting("pictures") as report:
        report(2, 4)
    assert "2/4" in shown[0]
