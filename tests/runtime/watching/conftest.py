"""A watched folder, its results, a clock that is moved by hand, and pictures to put there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Predictor
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_runtime.watching import (
    Archive,
    Arrivals,
    Outcome,
    ResultFolder,
    Watcher,
    WatchSettings,
)


@dataclass
class Clock:
    """Seconds that grow when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="package")
def predictor(tiny_bundle: Path, an_engine: str) -> Iterator[Predictor]:
    with Predictor.open(
        tiny_bundle, variant=f"{an_engine}-fp32", threads=1, trust=ANY_BUNDLE
    ) as opened:
        yield opened


@pytest.fixture(scope="package")
def pictures(eye: NDArray[np.uint8]) -> list[bytes]:
    """Forty small PNG files, all different."""
    small = cv2.resize(eye, (160, 120), interpolation=cv2.INTER_AREA)
    rolled = [np.roll(small, shift, axis=1) for shift in range(-20, 20)]
    return [cv2.imencode(".png", each[:, :, ::-1])[1].tobytes() for each in rolled]


@dataclass
class Place:
    """A watch of one folder, whose clock stands still but for `look`."""

    predictor: Predictor
    folder: Path
    clock: Clock = field(default_factory=Clock)
    settings: WatchSettings = field(
        default_factory=lambda: WatchSettings(settle_seconds=2, patience_seconds=20)
    )
    archive: Path | None = None

    @property
    def pictures(self) -> Path:
        return self.folder / "in"

    @property
    def results(self) -> Path:
        return self.folder / "out"

    def watcher(self, results: ResultFolder) -> Watcher:
        arrivals = Arrivals(self.pictures, self.settings, self.clock)
        archive = None
        if self.archive is not None:
            archive = Archive(self.archive, self.pictures, subfolders=self.settings.subfolders)
        return Watcher(
            self.predictor, arrivals, results, self.settings, archive=archive, clock=self.clock
        )

    def look(self, watcher: Watcher, seconds: float = 2.0) -> list[Outcome]:
        """Let time pass, and look once."""
        self.clock.now += seconds
        return list(watcher.poll())

    def watch(self, seconds: float = 60.0) -> list[Outcome]:
        """What a watch that is started now reports, and is then ended."""
        with ResultFolder(self.results) as results:
            watcher = self.watcher(results)
            return [o for _ in range(int(seconds)) for o in self.look(watcher, 1.0)]

    def put(self, name: str, content: bytes) -> Path:
        path = self.pictures / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def answers(self) -> dict[str, dict[str, Any]]:
        """Every result by its name; nothing else lies there but what a killed process left."""
        found = {}
        for path in self.results.iterdir():
            if not path.name.startswith(".realmnet-"):
                assert path.suffix == ".json"
                answer = json.loads(path.read_text(encoding="utf-8"))
                assert answer["input"]["sha256"] == path.stem
                found[path.stem] = answer
        return found


@pytest.fixture
def place(predictor: Predictor, tmp_path: Path) -> Place:
    (tmp_path / "in").mkdir()
    return Place(predictor, tmp_path)
