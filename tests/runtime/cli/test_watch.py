"""`realmnet watch`: what ends it, what it says, and how it is started wrongly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from realmnet_runtime.watching import ResultFolder

Command = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("an_engine")

PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from realmnet_runtime.cli import main
sys.exit(main())
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "in").mkdir()
    return tmp_path / "in", tmp_path / "out"


def begin(*words: str | Path) -> subprocess.Popen[str]:
    pytest.importorskip("typer", reason="the command needs the extra 'cli'")
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "watch", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_stopped(
    folders: tuple[Path, Path], tiny_bundle: Path, eye_png: bytes, number: signal.Signals
) -> None:
    pictures, results = folders
    (pictures / "record-4711.png").write_bytes(eye_png)
    (pictures / "record-4712.png").write_bytes(b"no picture")
    options = ["--settle", "0", "--interval", "0.05", "--patience", "0", "--threads", "1"]
    process = begin(
        pictures, results, "--bundle", tiny_bundle, "--allow-unsigned", *options, "--json"
    )
    wait_for(lambda: len(list(results.glob("*.json"))) == 2, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    lines = err.splitlines()
    assert all(line.startswith("realmnet: ") for line in lines)
    assert "every 0.05 s" in lines[0]
    assert lines[-1] == "realmnet: interrupted"
    assert len(lines) == 4
    assert "record" not in err + out
    printed = {answer["input"]["sha256"]: answer for answer in map(json.loads, out.splitlines())}
    assert printed == {path.stem: json.loads(path.read_text()) for path in results.glob("*.json")}
    assert sum(f"realmnet: {digest} " in err for digest in printed) == 2
    assert sorted(answer["error"] is None for answer in printed.values()) == [False, True]


@pytest.mark.parametrize(
    ("wish", "code", "says"),
    [
        ({"in": "absent"}, 2, "name the folder the device writes into"),
        ({"in": "file"}, 2, "name the folder the device writes into"),
        ({"out": "file"}, 8, "it is a file; name a directory"),
        ({"options": ["--settle", "-1"]}, 2, "settle_seconds -1"),
        ({"options": ["--interval", "0"]}, 2, "interval_seconds 0"),
        ({"options": ["--patience", "1"]}, 2, "patience of 1 s"),
        ({"options": ["--done", "in"]}, 2, "is watched itself"),
        ({"options": ["--done", "file"]}, 8, "it is a file; name a directory"),
        ({"options": ["--require-prepared", "--cache", "absent"]}, 6, "prepare"),
        ({"options": ["--bundle", "absent"]}, 2, "does not exist"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_mistakes_are_one_line(  # noqa: PLR0917
    realmnet: Command,
    tmp_path: Path,
    folders: tuple[Path, Path],
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    wish: dict[str, Any],
    code: int,
    says: str,
) -> None:
    assert folders
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"")
    bundle = (
        []
        if "--bundle" in wish.get("options", [])
        else ["--bundle", tiny_bundle, "--allow-unsigned"]
    )
    done = realmnet(
        "watch", wish.get("in", "in"), wish.get("out", "out"), *bundle, *wish.get("options", [])
    )
    assert (done.code, done.out) == (code, "")
    assert says in done.one_line()


def test_a_second_watch_of_one_folder_of_results_is_refused(
    realmnet: Command, folders: tuple[Path, Path], tiny_bundle: Path
) -> None:
    pictures, results = folders
    with ResultFolder(results):
        done = realmnet("watch", pictures, results, "--bundle", tiny_bundle, "--allow-unsigned")
    assert done.code == 2
    assert "another `realmnet watch` writes into" in done.one_line()


# -- signals -------------------------------------------------------------------------------------


def run_alone(code: str) -> None:
    """Run lines in a process of their own: signals are its main thread's, and may end it."""
    start = (
        "import signal\n"
        "from realmnet_runtime.cli.interruption import Interruption\n"
        # A shell lets what it runs in the background ignore Ctrl-C, and this may be such a run.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "both = (signal.SIGINT, signal.SIGTERM)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", start + code], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_first_signal_waits_and_the_second_does_not() -> None:
    run_alone(
        """
before = [signal.getsignal(number) for number in both]
with Interruption() as interruption:
    assert not interruption(0)
    signal.raise_signal(signal.SIGTERM)
    assert interruption(0)
    assert interruption(60)
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("the second signal was not raised")
assert [signal.getsignal(number) for number in both] == before
"""
    )


@pytest.mark.skipif(os.name != "posix", reason="timers of POSIX")
def test_a_signal_cuts_a_pause_short() -> None:
    run_alone(
        """
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGTERM))
with Interruption() as interruption:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        interruption(60)
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("it slept on")
"""
    )


def test_a_signal_that_is_ignored_stays_so() -> None:
    run_alone(
        """
signal.signal(signal.SIGINT, signal.SIG_IGN)
with Interruption() as interruption:
    signal.raise_signal(signal.SIGINT)
    assert not interruption(0)
assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
"""
    )
