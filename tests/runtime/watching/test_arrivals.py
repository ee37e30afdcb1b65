"""When a file counts as written, by laws of time that no clock on a wall takes part in."""

from __future__ import annotations

import os
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_runtime import UsageError
from realmnet_runtime.watching import Arrivals, WatchSettings
from realmnet_runtime.watching.arrivals import LONGEST_RETRY_SECONDS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def arrivals(tmp_path: Path, clock: Clock) -> Arrivals:
    return Arrivals(tmp_path, WatchSettings(settle_seconds=2, patience_seconds=20), clock)


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_a_file_is_due_once_it_rested(arrivals: Arrivals, tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    assert arrivals.scan() == []
    clock.now = 1.9
    assert arrivals.scan() == []
    clock.now = 2.0
    assert arrivals.scan() == [path]
    arrivals.done(path)
    clock.now = 9.0
    assert arrivals.scan() == []


def test_a_file_that_grows_is_not_due(arrivals: Arrivals, tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.png"
    for size in range(1, 9):
        path.write_bytes(b"x" * size)
        assert arrivals.scan() == []
        clock.now += 1.9
    assert arrivals.scan() == []
    clock.now += 0.2
    assert arrivals.scan() == [path]


@pytest.mark.parametrize("year", [0.0, 4_102_444_800.0], ids=["1970", "2100"])
def test_times_on_the_wall_do_not_matter(
    arrivals: Arrivals, tmp_path: Path, clock: Clock, year: float
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    os.utime(path, (year, year))
    arrivals.scan()
    # The clock on the wall goes back while a file is written: another time, of the same size.
    os.utime(path, (year, year - 3600.0))
    clock.now = 2.0
    assert arrivals.scan() == []
    clock.now = 4.0
    assert arrivals.scan() == [path]


def test_a_changed_file_is_due_again(arrivals: Arrivals, tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    arrivals.scan()
    arrivals.done(path)
    path.write_bytes(b"22")
    assert not arrivals.is_at_rest(path)
    arrivals.scan()
    assert arrivals.is_at_rest(path)
    clock.now = 2.0
    assert arrivals.scan() == [path]
    path.unlink()
    assert not arrivals.is_at_rest(path)
    assert arrivals.scan() == []


@pytest.mark.parametrize("subfolders", [False, True])
def test_which_files_count(tmp_path: Path, clock: Clock, subfolders: bool) -> None:
    folder, outside = tmp_path / "in", tmp_path / "outside"
    for parent in (folder, folder / "sub", folder / "sub" / "sub", folder / ".hidden", outside):
        parent.mkdir(exist_ok=True)
        for name in ("a.png", "B.JPEG", "._c.png", "notes.txt", "d.json"):
            (parent / name).write_bytes(b"1")
    (folder / "folder.png").mkdir()
    # A link to a folder may lead round in a ring.
    (folder / "ring").symlink_to(folder, target_is_directory=True)
    (folder / "other").symlink_to(outside, target_is_directory=True)
    settled = WatchSettings(settle_seconds=0, subfolders=subfolders)
    found = Arrivals(folder, settled, clock).scan()
    expected = {"a.png", "B.JPEG"}
    if subfolders:
        expected |= {f"{sub}/{name}" for sub in ("sub", "sub/sub") for name in expected}
    assert {path.relative_to(folder).as_posix() for path in found} == expected


def test_the_longest_waiting_comes_first(arrivals: Arrivals, tmp_path: Path, clock: Clock) -> None:
    for at, name in enumerate(("c.png", "a.png", "b.png")):
        clock.now = at * 0.1
        (tmp_path / name).write_bytes(b"1")
        arrivals.scan()
    clock.now = 5.0
    assert names(arrivals.scan()) == ["c.png", "a.png", "b.png"]


def test_a_folder_that_is_gone_forgets_nothing(
    arrivals: Arrivals, tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    arrivals.scan()
    arrivals.done(path)
    away = tmp_path.with_name(f"{tmp_path.name}-away")
    tmp_path.rename(away)
    with pytest.raises(FileNotFoundError):
        arrivals.scan()
    away.rename(tmp_path)
    clock.now = 99.0
    assert arrivals.scan() == []


@settings(max_examples=60)
@given(
    settle=st.floats(0, 10),
    interval=st.floats(0.01, 10),
    patience=st.floats(0, 400),
)
def test_tries_grow_rarer_and_end_with_patience(
    settle: float, interval: float, patience: float
) -> None:
    patience = max(settle, patience)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "half.png"
        path.write_bytes(b"half")
        times = WatchSettings(
            interval_seconds=interval, settle_seconds=settle, patience_seconds=patience
        )
        arrivals = Arrivals(Path(folder), times, clock)
        arrivals.scan()
        looks = []
        clock.now = settle
        while True:
            assert arrivals.scan() == [path]
            looks.append(clock.now)
            if not arrivals.put_off(path):
                break
            pause = next(iter(arrivals._sights.values())).due
            assert pause is not None
            clock.now = pause
    gaps = [after - before for before, after in pairwise(looks)]
    assert looks[-1] == pytest.approx(patience)
    assert all(0 < gap <= LONGEST_RETRY_SECONDS + 1e-9 for gap in gaps)
    assert all(one <= other + 1e-9 for one, other in pairwise(gaps[:-1]))
    assert len(looks) <= 14 + patience / LONGEST_RETRY_SECONDS


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"interval_seconds": 0}, "interval_seconds 0; 0.01 to"),
        ({"settle_seconds": -1}, "settle_seconds -1"),
        ({"settle_seconds": float("nan")}, "settle_seconds nan"),
        ({"patience_seconds": 1e9}, "patience_seconds 1000000000.0"),
        ({"settle_seconds": 9, "patience_seconds": 8}, "at least as long as the 9 s"),
        ({"keep_warm_seconds": 0}, "keep_warm_seconds 0"),
    ],
)
def test_impossible_times_are_refused(wish: dict[str, float], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        WatchSettings(**wish)  # type: ignore[arg-type]
