"""Decisions by both decodes: the sums by hand, and a run that is broken off and goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import beta

from realmnet_benchmarks.path.both_ways import BothWays, OneWay
from realmnet_benchmarks.path.journal import Journal
from realmnet_benchmarks.path.steadiness import Task, summarise
from realmnet_runtime.errors import ConfigurationError, OutputError

LABELS = ("A", "B")
THRESHOLDS = (0.5, 0.3)
TASK = Task("synthetic phantoms", 4, "0" * 64, 96, 120, "1" * 64, "v")


def way(*probabilities: float, gradable: bool = True) -> OneWay:
    columns = zip(LABELS, probabilities, THRESHOLDS, strict=True)
    found = tuple(label for label, p, threshold in columns if p >= threshold)
    return OneWay(probabilities, found, gradable)


def line(number: int, scaled: OneWay, full: OneWay) -> BothWays:
    return BothWays(number, f"{number:064x}", 1_000_000 + number, scaled, full)


ALIKE = line(0, way(0.6, 0.1), way(0.7, 0.2))
FLIPPED = line(1, way(0.49, 0.1), way(0.51, 0.15, gradable=False))
REFUSED = line(2, OneWay(refused="no field of view"), way(0.1, 0.1))
BOTH_REFUSED = line(3, OneWay(refused="small"), OneWay(refused="smaller"))


def test_what_changed_is_counted() -> None:
    found = summarise([ALIKE, FLIPPED, REFUSED, BOTH_REFUSED], LABELS, THRESHOLDS)
    assert (found.pictures, found.unchanged) == (4, 2)
    (flip,) = found.flips
    assert (flip.number, flip.label, flip.scaled, flip.full, flip.threshold) == (
        1, "A", 0.49, 0.51, 0.5,
    )  # fmt: skip
    # One label flipped, and both labels of the picture that one decode refused.
    assert found.share == pytest.approx(1 - 3 / 8)
    assert found.flips_per_1000 == pytest.approx(1000 * 3 / 8)
    assert (found.refusals_changed, found.gradings_changed) == (1, 2)
    assert found.largest_difference == pytest.approx(0.1)
    # Clopper and Pearson's interval by its definition.
    assert found.low == pytest.approx(beta.ppf(0.025, 2, 3))
    assert found.high == pytest.approx(beta.ppf(0.975, 3, 2))
    assert not found.passed


@pytest.mark.parametrize(("flipped", "passes"), [(1, True), (2, False)])
def test_one_in_two_hundred_decisions_may_change(flipped: int, passes: bool) -> None:
    lines = [ALIKE] * (100 - flipped) + [FLIPPED] * flipped
    assert summarise(lines, LABELS, THRESHOLDS).passed is passes


def test_a_journal_goes_on_after_a_line_that_was_cut(tmp_path: Path) -> None:
    place = tmp_path / "kept.jsonl"
    Journal(place, TASK, BothWays).add([ALIKE, FLIPPED])
    whole = place.read_bytes()
    place.write_bytes(whole[:-20])
    again = Journal(place, TASK, BothWays)
    assert again.lines == [ALIKE]
    again.add([FLIPPED])
    assert place.read_bytes() == whole


def test_a_journal_cut_in_its_first_line_is_begun_again(tmp_path: Path) -> None:
    place = tmp_path / "kept.jsonl"
    Journal(place, TASK, BothWays)
    whole = place.read_bytes()
    place.write_bytes(whole[:10])
    assert Journal(place, TASK, BothWays).lines == []
    assert place.read_bytes() == whole


def test_a_journal_of_another_task_is_refused_and_kept(tmp_path: Path) -> None:
    place = tmp_path / "kept.jsonl"
    Journal(place, TASK, BothWays).add([ALIKE])
    before = place.read_bytes()
    other = Task("synthetic phantoms", 5, "0" * 64, 96, 120, "1" * 64, "v")
    with pytest.raises(ConfigurationError, match="count 4, asked for 5; name another file"):
        Journal(place, other, BothWays)
    assert place.read_bytes() == before


def test_a_file_of_something_else_is_refused_and_kept(tmp_path: Path) -> None:
    place = tmp_path / "kept.jsonl"
    place.write_text('{"mine": 1}\n')
    with pytest.raises(ConfigurationError, match=r"kept\.jsonl"):
        Journal(place, TASK, BothWays)
    assert place.read_text() == '{"mine": 1}\n'


def test_a_journal_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="create the directory"):
        Journal(tmp_path / "nowhere" / "kept.jsonl", TASK, BothWays)
