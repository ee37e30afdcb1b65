"""A watch that is killed at random moments, as by a power switch, loses and doubles nothing.

`REALMNET_KILLS=50 pytest tests/runtime/watching/test_kills.py -s` kills it fifty times and says
what it was doing.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Place, sha256

KILLS = int(os.environ.get("REALMNET_KILLS", "5"))
ARRIVE_EACH_TIME = 3

PROGRAM = """
import sys
from realmnet_runtime.cli import main
sys.exit(main())
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does"),
]


def begin(place: Place, bundle: Path) -> subprocess.Popen[bytes]:
    pytest.importorskip("typer", reason="the command needs the extra 'cli'")
    options = ["--settle", "0", "--interval", "0.02", "--patience", "600", "--threads", "1"]
    words = [place.pictures, place.results, "--bundle", bundle, "--allow-unsigned", *options]
    variant = ["--variant", place.predictor.variant.name, "--done", place.folder / "done"]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "watch", *map(str, [*words, *variant])],
        stderr=subprocess.PIPE,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)


def different(pictures: list[bytes], number: int) -> bytes:
    """As many pictures as are wanted: what follows the end of a PNG is not looked at."""
    return pictures[number % len(pictures)] + f"{number}".encode()


def test_killed_at_random_moments(place: Place, pictures: list[bytes], tiny_bundle: Path) -> None:
    chance = random.Random(20261124)  # noqa: S311
    doing: Counter[str] = Counter()
    expected: dict[str, bytes] = {}
    place.results.mkdir()

    def answered() -> int:
        return len(list(place.results.glob("*.json")))

    for kill in range(KILLS):
        before = answered()
        mine = [different(pictures, kill * ARRIVE_EACH_TIME + n) for n in range(ARRIVE_EACH_TIME)]
        expected |= {sha256(content): content for content in mine}
        for number, content in enumerate(mine):
            # The camera was writing when the power went, and goes on when it is back.
            place.put(f"{kill}-{number}.png", content[: len(content) // 2])
        process = begin(place, tiny_bundle)
        for number, content in enumerate(mine):
            place.put(f"{kill}-{number}.png", content)
        wanted = before + chance.randrange(ARRIVE_EACH_TIME)
        if chance.random() < 0.8:
            wait_for(lambda wanted=wanted: answered() >= wanted, process)  # type: ignore[misc]
            time.sleep(chance.random() * 0.06)
        else:
            time.sleep(chance.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
        left = len(list(place.results.glob("*.part")))
        doing["writing an answer" if left else "anything else"] += 1
        # Every answer is whole, whenever it was; `answers` reads all of them.
        assert place.answers().keys() <= expected.keys()

    process = begin(place, tiny_bundle)
    wait_for(lambda: answered() == len(expected), process)
    wait_for(lambda: not any(place.pictures.iterdir()), process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"Traceback" not in err
    answers = place.answers()
    assert answers.keys() == expected.keys()
    for digest, content in expected.items():
        assert answers[digest]["error"] is None
        wanted_probabilities = place.predictor.predict(content).to_dict()["probabilities"]
        assert answers[digest]["probabilities"] == pytest.approx(wanted_probabilities, abs=1e-9)
        assert (place.folder / "done" / f"{digest}.png").read_bytes() == content
    sys.stdout.write(f"\n{KILLS} kills, {len(expected)} pictures, each answered once: {doing}\n")
