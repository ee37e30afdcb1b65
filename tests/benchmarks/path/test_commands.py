"""Every command on the demonstration bundle and small phantoms; no speed is asserted."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from realmnet_benchmarks.path.__main__ import main
from realmnet_benchmarks.path.idle import IdleReport
from realmnet_benchmarks.path.soak import SoakReport
from realmnet_benchmarks.path.speed import SpeedReport
from realmnet_benchmarks.path.start import StartReport
from realmnet_benchmarks.path.steadiness import SteadinessReport

pytest.importorskip("openvino")
SMALL = ["--rows", "288", "--columns", "360"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drawn")


def test_speed(drawn: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "speed.json"
    words = ["speed", "--phantoms", "2", "--drawn", str(drawn), *SMALL, "--out", str(out)]
    assert main([*words, "--rounds", "3", "--warm-up", "0", "--threads", "1"]) == 0
    found = msgspec.json.decode(out.read_bytes(), type=SpeedReport)
    assert {name: (len(r), len(r[0])) for name, r in found.seconds.items()} == {
        "ours": (3, 2),
        "full decode, same model": (3, 2),
    }
    (group,) = found.groups
    assert group == "synthetic phantoms, 360 x 288 pixels, JPEG"
    assert found.found[group]["ours"].ratio == pytest.approx(1.0)
    assert found.environment.machine == "shared machine"
    page = capfd.readouterr().out
    assert "2 synthetic phantoms" in page
    assert "shared machine" in page
    assert "1.6 are needed" in page


def test_start(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "start.json"
    words = ["start", *SMALL, "--processes", "3", "--warm-up", "0", "--threads", "1"]
    assert main([*words, "--out", str(out)]) == 0
    found = msgspec.json.decode(out.read_bytes(), type=StartReport)
    for pair in found.samples.values():
        assert {kind: len(processes) for kind, processes in pair.items()} == {"ours": 3, "bare": 3}
    assert set(found.found) == set(found.samples)
    assert "1 synthetic phantoms" in capfd.readouterr().out


def test_soak_and_idle(drawn: Path, tmp_path: Path) -> None:
    given = ["--phantoms", "1", "--drawn", str(drawn), *SMALL, "--threads", "1"]
    out = tmp_path / "soak.json"
    counts = ["--answers", "12", "--every", "2", "--warm-up", "4"]
    assert main(["soak", *given, *counts, "--out", str(out)]) in {0, 4}
    soaked = msgspec.json.decode(out.read_bytes(), type=SoakReport)
    assert [answers for answers, _ in soaked.found.samples] == [2, 4, 6, 8, 10, 12]
    out = tmp_path / "idle.json"
    assert main(["idle", *given, "--answers", "3", "--out", str(out)]) in {0, 4}
    assert len(msgspec.json.decode(out.read_bytes(), type=IdleReport).found.samples_ms) == 3


def test_steadiness_goes_on_where_it_stopped(tmp_path: Path) -> None:
    journal, out = tmp_path / "kept.jsonl", tmp_path / "steadiness.json"
    words = ["steadiness", str(journal), "--phantoms", "4", *SMALL, "--out", str(out)]
    assert main(words) in {0, 4}
    first = msgspec.json.decode(out.read_bytes(), type=SteadinessReport)
    whole = journal.read_bytes()
    journal.write_bytes(whole[: whole.rfind(b"\n", 0, -1) - 5])
    assert main(words) in {0, 4}
    again = msgspec.json.decode(out.read_bytes(), type=SteadinessReport)
    assert again.found == first.found
    assert len(again.lines) == 4
    # At this size a scaled decode takes every pixel too, so nothing can differ.
    assert first.found.unchanged == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["speed", "--phantoms", "0"], "no pictures to answer"),
        (["speed", "nowhere", "--phantoms", "0"], "no file or folder nowhere"),
        (["soak", "--answers", "100"], "1000 are warm-up"),
        (["idle", "--bundle", "nowhere.realmnet"], "nowhere.realmnet"),
        (["steadiness", "x.jsonl", "--variant", "nothing"], "nothing"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    small = [] if "--answers" in words else [*SMALL]
    assert main([*words, *small]) == 2
    *_, last = capfd.readouterr().err.splitlines()
    assert said in last
