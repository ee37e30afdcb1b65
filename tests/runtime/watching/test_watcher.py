"""From pictures to answers: once each, whatever happens on the way."""

from __future__ import annotations

import contextlib
import json
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from realmnet_runtime import OutputError, Predictor, UnreadableImage, UsageError
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_runtime.watching import Archive, ResultFolder, WatchSettings

from .conftest import Place, sha256


def states(outcomes: object) -> list[str]:
    return [outcome.state for outcome in outcomes]  # type: ignore[attr-defined]


def test_the_answer_is_the_predictors_and_names_nobody(place: Place, pictures: list[bytes]) -> None:
    place.put("record-4711_OD.png", pictures[0])
    (outcome,) = place.watch()
    assert (outcome.state, outcome.sha256) == ("answered", sha256(pictures[0]))
    (answer,) = place.answers().values()
    expected = place.predictor.predict(pictures[0]).to_dict()
    for said in (answer, expected):
        del said["timings_ms"], said["time"]
    assert answer == json.loads(json.dumps(expected))
    for path in place.results.iterdir():
        assert "4711" not in path.name
        assert "4711" not in path.read_text()
        assert str(place.folder) not in path.read_text()


def test_one_answer_for_one_picture_under_two_names(place: Place, pictures: list[bytes]) -> None:
    for name in ("a.png", "b.png", "c.PNG"):
        place.put(name, pictures[0])
    place.put("d.png", pictures[1])
    assert sorted(states(place.watch())) == ["answered", "answered", "known", "known"]
    assert place.answers().keys() == {sha256(pictures[0]), sha256(pictures[1])}


def test_a_picture_written_in_pieces_is_answered_when_it_is_whole(
    place: Place, pictures: list[bytes]
) -> None:
    whole = pictures[0]
    with ResultFolder(place.results) as results:
        watcher = place.watcher(results)
        # Steadily, then with a pause longer than it takes to settle.
        for end in range(0, len(whole) // 2, len(whole) // 8):
            place.put("a.png", whole[:end])
            assert place.look(watcher, 1.0) == []
        half = place.look(watcher, 3.0)
        assert states(half) == ["unfinished"]
        assert states(place.look(watcher, 3.0)) == ["unfinished"]
        place.put("a.png", whole)
        assert place.look(watcher, 1.0) == []
        assert states(place.look(watcher, 3.0)) == ["answered"]
    assert place.answers().keys() == {sha256(whole)}


@pytest.mark.parametrize("content", [b"", b"text renamed", None], ids=["empty", "text", "half"])
def test_what_stays_no_picture_is_refused_after_patience(
    place: Place, pictures: list[bytes], content: bytes | None
) -> None:
    content = pictures[0][: len(pictures[0]) // 2] if content is None else content
    place.put("record-4711.png", content)
    with ResultFolder(place.results) as results:
        watcher = place.watcher(results)
        begin = place.clock.now
        seen = [outcome for _ in range(19) for outcome in place.look(watcher, 1.0)]
        assert set(states(seen)) == {"unfinished"}
        assert place.answers() == {}
        # What it waits for may still come: the file is not lost of sight.
        seen = place.look(watcher, 2.0)
        assert states(seen) == ["refused"]
        assert place.clock.now - begin >= place.settings.patience_seconds
        assert place.look(watcher, 600.0) == []
    (answer,) = place.answers().values()
    assert answer["input"] == {"sha256": sha256(content)}
    assert answer["error"]["kind"] == "UnreadableImage"
    assert answer["error"]["exit_code"] == 7
    assert answer["bundle_sha256"] == place.predictor.bundle.digest
    assert "4711" not in json.dumps(answer)


def test_a_whole_picture_without_an_eye_is_refused_at_once(place: Place) -> None:
    cv2 = pytest.importorskip("cv2")
    dark = cv2.imencode(".png", np.zeros((120, 160, 3), np.uint8))[1].tobytes()
    place.put("dark.png", dark)
    (outcome,) = place.watch(3)
    assert outcome.state == "refused"
    (answer,) = place.answers().values()
    assert answer["error"]["kind"] == "NoFieldOfView"
    assert states(place.watch()) == ["known"]


def test_a_second_start_does_nothing_again(place: Place, pictures: list[bytes]) -> None:
    for number in range(3):
        place.put(f"{number}.png", pictures[number])
    place.put("bad.png", b"no picture")
    place.watch()
    before = {path: path.stat().st_mtime_ns for path in place.results.glob("*.json")}
    assert len(before) == 4
    assert states(place.watch()) == ["known"] * 4
    assert {path: path.stat().st_mtime_ns for path in place.results.glob("*.json")} == before


@pytest.mark.parametrize("left", [b"", b'{"input"', b"\0" * 500])
def test_an_answer_that_power_loss_left_damaged_is_written_again(
    place: Place, pictures: list[bytes], left: bytes
) -> None:
    place.put("a.png", pictures[0])
    place.results.mkdir()
    (place.results / f"{sha256(pictures[0])}.json").write_bytes(left)
    assert states(place.watch()) == ["answered"]
    assert place.answers().keys() == {sha256(pictures[0])}


def test_another_variant_answers_anew_only_where_it_is_told(
    place: Place, pictures: list[bytes], tiny_bundle: Path, an_engine: str
) -> None:
    place.put("a.png", pictures[0])
    place.watch()
    with Predictor.open(
        tiny_bundle, variant=f"{an_engine}-int8", threads=1, trust=ANY_BUNDLE
    ) as other:
        place.predictor = other
        (kept,) = place.watch()
        assert (kept.state, kept.note) == ("known", "by another bundle or variant")
        (answer,) = place.answers().values()
        assert answer["variant"] == f"{an_engine}-fp32"
        place.settings = WatchSettings(again=True)
        assert states(place.watch()) == ["answered"]
        assert states(place.watch()) == ["known"]
    (answer,) = place.answers().values()
    assert answer["variant"] == f"{an_engine}-int8"


def test_a_folder_of_pictures_that_goes_and_comes(place: Place, pictures: list[bytes]) -> None:
    place.put("a.png", pictures[0])
    away = place.folder / "unplugged"
    with ResultFolder(place.results) as results:
        watcher = place.watcher(results)
        place.look(watcher)
        assert states(place.look(watcher)) == ["answered"]
        place.pictures.rename(away)
        (gone,) = place.look(watcher)
        assert gone.state == "away"
        assert "waiting for it" in gone.note
        assert str(place.folder) not in gone.note
        assert place.look(watcher) == []
        away.rename(place.pictures)
        place.put("b.png", pictures[1])
        assert states(place.look(watcher)) == ["back"]
        assert states(place.look(watcher)) == ["answered"]


def test_a_picture_that_ended_the_watch_lets_others_go_first(
    place: Place, pictures: list[bytes]
) -> None:
    deadly = sha256(pictures[0])
    with (
        ResultFolder(place.results) as results,
        pytest.raises(MemoryError),
        results.in_hand(deadly),
    ):
        raise MemoryError
    for number in range(3):
        place.put(f"{number}.png", pictures[number])
    seen = place.watch()
    assert states(seen) == ["postponed", "answered", "answered", "answered"]
    assert (seen[0].sha256, seen[-1].sha256) == (deadly, deadly)
    assert "30 s" in seen[0].note


@pytest.mark.parametrize("error", [None, UnreadableImage("refused")])
def test_a_picture_that_was_answered_or_refused_is_not_suspected(
    place: Place, pictures: list[bytes], error: Exception | None
) -> None:
    with (
        ResultFolder(place.results) as results,
        contextlib.suppress(UnreadableImage),
        results.in_hand(sha256(pictures[0])),
    ):
        if error:
            raise error
    place.put("0.png", pictures[0])
    assert states(place.watch()) == ["answered"]


# -- results that cannot be written --------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_full_disk_loses_nothing(place: Place, pictures: list[bytes]) -> None:
    place.put("a.png", pictures[0])
    with ResultFolder(place.results) as results:
        watcher = place.watcher(results)
        place.look(watcher)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            # Files that may not grow past this fail in the middle, as on a full disk.
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
            with pytest.raises(OutputError, match="free some space") as caught:
                place.look(watcher)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.exit_code == 8
    assert place.answers() == {}
    assert states(place.watch()) == ["answered"]


def test_a_folder_of_results_that_vanishes_loses_nothing(
    place: Place, pictures: list[bytes]
) -> None:
    place.put("a.png", pictures[0])
    with ResultFolder(place.results) as results:
        watcher = place.watcher(results)
        place.look(watcher)
        place.results.rename(place.folder / "away")
        # Found out even where no picture waits.
        for _ in range(2):
            with pytest.raises(OutputError, match="gone") as caught:
                place.look(watcher)
    assert caught.value.exit_code == 8
    assert not place.results.exists()
    assert (place.pictures / "a.png").read_bytes() == pictures[0]
    assert states(place.watch()) == ["answered"]


# -- pictures that are moved once they are answered ----------------------------------------------


def test_answered_pictures_are_moved_under_their_digest(
    place: Place, pictures: list[bytes]
) -> None:
    place.watch()
    place.put("known.PNG", pictures[0])
    place.watch()
    place.archive = place.folder / "done"
    place.put("new.png", pictures[1])
    place.put("bad.jpg", b"no picture")
    assert sorted(states(place.watch())[-1:]) == ["refused"]
    assert list(place.pictures.iterdir()) == []
    assert {path.name: path.read_bytes() for path in place.archive.iterdir()} == {
        f"{sha256(pictures[0])}.png": pictures[0],
        f"{sha256(pictures[1])}.png": pictures[1],
        f"{sha256(b'no picture')}.jpg": b"no picture",
    }


def test_a_picture_that_cannot_be_moved_stays_and_is_told(
    place: Place, pictures: list[bytes]
) -> None:
    place.archive = place.folder / "done"
    place.put("a.png", pictures[0])
    with ResultFolder(place.results) as results:
        watcher = place.watcher(results)
        place.look(watcher)
        place.archive.rmdir()
        seen = place.look(watcher)
        assert states(seen) == ["answered", "unmoved"]
        assert place.look(watcher) == []
    assert states(place.watch()) == ["known"]
    assert (place.archive / f"{sha256(pictures[0])}.png").exists()


def test_an_archive_that_is_watched_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Archive(tmp_path / "in" / "done", tmp_path / "in", subfolders=False)
    for folder, subfolders in ((tmp_path / "in", False), (tmp_path / "in" / "done", True)):
        with pytest.raises(UsageError, match="is watched itself"):
            Archive(folder, tmp_path / "in", subfolders=subfolders)


def test_an_archive_on_another_file_system_is_refused(tmp_path: Path) -> None:
    other = Path("/dev/shm")  # noqa: S108
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    with pytest.raises(UsageError, match="not on the file system"):
        Archive(other, tmp_path, subfolders=False)


# -- running -------------------------------------------------------------------------------------


def test_it_ends_after_the_picture_in_hand(place: Place, pictures: list[bytes]) -> None:
    place.settings = WatchSettings(settle_seconds=0)
    for number in range(3):
        place.put(f"{number}.png", pictures[number])
    pauses = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        return len(pauses) == 2

    with ResultFolder(place.results) as results:
        assert states(place.watcher(results).run(pause)) == ["answered", "answered"]
    assert pauses == [0, 0]
    assert len(place.answers()) == 2


def test_between_looks_it_waits(place: Place, pictures: list[bytes]) -> None:
    place.settings = WatchSettings(interval_seconds=0.5, settle_seconds=2)
    place.put("0.png", pictures[0])
    pauses = []

    def pause(seconds: float) -> bool:
        pauses.append(seconds)
        place.clock.now += seconds
        return len(pauses) == 8

    with ResultFolder(place.results) as results:
        assert states(place.watcher(results).run(pause)) == ["answered"]
    assert pauses == [0.5] * 4 + [0] + [0.5] * 3


def test_the_engine_is_kept_warm_only_where_it_idles(
    place: Place, pictures: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.settings = WatchSettings(settle_seconds=0, keep_warm_seconds=10)
    warmed: list[float] = []
    genuine = Predictor.warm_up

    def noted(predictor: Predictor) -> None:
        warmed.append(place.clock.now)
        genuine(predictor)

    monkeypatch.setattr(Predictor, "warm_up", noted)

    def pause(seconds: float) -> bool:
        place.clock.now += seconds
        if seconds and place.clock.now == begin + 25:
            place.put("0.png", pictures[0])
        return place.clock.now >= begin + 40

    begin = place.clock.now
    with ResultFolder(place.results) as results:
        assert states(place.watcher(results).run(pause)) == ["answered"]
    assert [moment - begin for moment in warmed] == [10, 20, 35]
