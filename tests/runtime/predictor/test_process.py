"""What a predictor leaves alone in its process, and what a child of it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import NoFieldOfView, Predictor, UnreadableImage
from realmnet_runtime.backends import AUTO_ORDER, installed_engines
from realmnet_runtime.signatures.trust import ANY_BUNDLE


@pytest.fixture(params=sorted(AUTO_ORDER))
def engine(request: pytest.FixtureRequest) -> str:
    if request.param not in installed_engines():
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture
def predictor(engine: str, tiny_bundle: Path) -> Iterator[Predictor]:
    with Predictor.open(tiny_bundle, engine=engine, threads=1, trust=ANY_BUNDLE) as opened:
        yield opened


# -- nothing of the process is changed -----------------------------------------------------------

STATE = """
import json, locale, logging, os, signal, socket, sys, threading, warnings
import cv2, numpy

def state():
    root = logging.getLogger()
    return {
        "cv2": [cv2.getNumThreads(), cv2.useOptimized()],
        "signals": {s.name: str(signal.getsignal(s)) for s in signal.Signals},
        "logging": [root.level, [str(h) for h in root.handlers], logging.root.manager.disable],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "numpy": numpy.geterr(),
        "locale": locale.setlocale(locale.LC_ALL),
        "timeout": socket.getdefaulttimeout(),
        "hooks": [str(sys.excepthook), str(threading.excepthook)],
        "limits": sys.getrecursionlimit(),
        "threads": threading.active_count(),
    }

before = state()
from realmnet_runtime import Predictor, Trust
trust = Trust(unsigned="allow")
with Predictor.open(sys.argv[1], engine=sys.argv[3], threads=1, trust=trust) as predictor:
    predictor.predict(sys.argv[2], deadline=600)
    list(predictor.predict_many([sys.argv[2]] * 2))
    predictor.warm_up()
    while_open = state()
print(json.dumps([before, while_open, state()]))
"""


def test_nothing_of_the_process_is_changed(
    engine: str, tiny_bundle: Path, eye_png: bytes, tmp_path: Path
) -> None:
    picture = tmp_path / "eye.png"
    picture.write_bytes(eye_png)
    done = subprocess.run(
        [sys.executable, "-c", STATE, str(tiny_bundle), str(picture), engine],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    before, while_open, after = json.loads(done.stdout)
    assert while_open == before
    assert after == before


def test_engines_do_not_wait_by_computing(predictor: Predictor) -> None:
    """As the engine itself says when asked; OpenVINO has no such setting."""
    facts = predictor.facts
    if facts.engine == "onnxruntime":
        assert facts.settings["session.intra_op.allow_spinning"] == "0"
        # One thread between operators is none to spin.
        assert facts.settings["inter_op_num_threads"] == "1"
    else:
        assert facts.settings["NUM_STREAMS"] == "1"
        assert facts.settings["ENABLE_CPU_PINNING"] == "False"


# -- fork ----------------------------------------------------------------------------------------


def in_a_child(work: Callable[[], object]) -> str:
    """What `work` raised in a forked child, in words; the child ends as its kind should."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "nothing"
        try:
            work()
        except BaseException as error:  # noqa: BLE001
            said = f"{type(error).__name__}: {error}"
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_is_told_instead_of_hanging(
    predictor: Predictor, eye: NDArray[np.uint8]
) -> None:
    expected = predictor.predict(eye)
    many = predictor.predict_many([eye] * 3)
    next(many)
    for work in (
        lambda: predictor.predict(eye),
        lambda: next(many),
        lambda: predictor.facts,
        predictor.warm_up,
    ):
        said = in_a_child(work)
        assert said.startswith("UsageError: ")
        assert "open one in each process" in said
    assert in_a_child(predictor.close) == "nothing"
    # The parent's own goes on.
    assert [answer.probabilities for answer in many] == [expected.probabilities] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_child_may_close_what_another_thread_of_its_parent_uses(predictor: Predictor) -> None:
    with predictor._turn:
        assert in_a_child(predictor.close) == "nothing"


# -- one picture ahead ---------------------------------------------------------------------------


def test_many_are_answered_in_order_as_one_by_one(
    predictor: Predictor, eye: NDArray[np.uint8]
) -> None:
    pictures = [np.roll(eye, shift, axis=1) for shift in range(0, 40, 5)]
    threads = threading.active_count()
    one_by_one = [predictor.predict(picture) for picture in pictures]
    for sources in (pictures, tuple(pictures), iter(pictures)):
        together = list(predictor.predict_many(sources))
        assert [a.input_sha256 for a in together] == [a.input_sha256 for a in one_by_one]
        assert [a.probabilities for a in together] == [a.probabilities for a in one_by_one]
    assert list(predictor.predict_many([])) == []
    assert threading.active_count() == threads


@pytest.mark.parametrize("ends", ["closed early", "read to its end", "refused"])
def test_no_thread_is_left_behind(predictor: Predictor, eye: NDArray[np.uint8], ends: str) -> None:
    dark = np.zeros((64, 64, 3), np.uint8)
    threads = threading.active_count()
    many = predictor.predict_many([eye, dark, eye] if ends == "refused" else [eye] * 3)
    next(many)
    assert threading.active_count() == threads + 1
    if ends == "closed early":
        many.close()  # type: ignore[attr-defined]
    elif ends == "refused":
        # Only when its turn comes: the picture before was answered.
        with pytest.raises(NoFieldOfView):
            next(many)
    else:
        list(many)
    assert threading.active_count() == threads
    predictor.predict(eye)


def test_one_picture_ahead_and_no_more(
    predictor: Predictor, eye_png: bytes, tmp_path: Path
) -> None:
    """A file that is gone when its turn to be decoded comes shows when that was."""
    files = [tmp_path / f"{n}.png" for n in range(4)]
    for file in files:
        file.write_bytes(eye_png)
    many = predictor.predict_many(files)
    next(many)
    # Of the third nothing was read yet: it may still change.
    files[2].write_bytes(b"no picture")
    next(many)
    with pytest.raises(UnreadableImage):
        next(many)
