"""The command as a user meets it: its streams and its exit code."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import pytest

from realmnet_runtime.backends import installed_engines
from realmnet_runtime.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def one_line(self) -> str:
        """The only line on stderr, without the program's name."""
        assert "Traceback" not in self.err
        (line,) = self.err.splitlines()
        assert line.startswith("realmnet: ")
        return line.removeprefix("realmnet: ")


Command = Callable[..., Outcome]


PROGRAM = "import sys\nfrom realmnet_runtime.cli import main\nsys.exit(main())"


@pytest.fixture
def realmnet(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """`main` with its streams caught: starting a process for each mistake would take minutes."""
    pytest.importorskip("typer", reason="the command needs the extra 'cli'")
    monkeypatch.setenv("COLUMNS", "160")
    threads = cv2.getNumThreads()

    def run(*words: str | Path) -> Outcome:
        capfd.readouterr()
        code = main(list(map(str, words)))
        caught = capfd.readouterr()
        return Outcome(code, caught.out, caught.err)

    yield run
    cv2.setNumThreads(threads)


@pytest.fixture(scope="session")
def realmnet_process() -> Command:
    """The command in a process of its own, where streams, limits or imports are the matter."""
    pytest.importorskip("typer", reason="the command needs the extra 'cli'")

    def run(
        *words: str | Path,
        stdout: Path | None = None,
        before: str = "",
        absent: Collection[str] = (),
    ) -> Outcome:
        """Run `before` and then the command, as if the packages `absent` were not installed."""
        program = f"{before}\n{HIDE.format(names=set(absent) or '()')}\n{PROGRAM}"
        with ExitStack() as stack:
            result = subprocess.run(
                [sys.executable, "-c", program, *map(str, words)],
                stdout=stack.enter_context(stdout.open("w")) if stdout else subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        return Outcome(result.returncode, result.stdout or "", result.stderr)

    return run


# Imports fail as they do where nothing is installed.
HIDE = """
import importlib.util, sys
hidden = {names}
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in hidden:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Absent())
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.partition('.')[0] in hidden else find_spec(name, package)
)
"""


@pytest.fixture
def an_engine() -> str:
    if not installed_engines():
        pytest.skip("no engine installed")
    return min(installed_engines())


@pytest.fixture
def eye_file(eye_png: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "eye.png"
    path.write_bytes(eye_png)
    return path
