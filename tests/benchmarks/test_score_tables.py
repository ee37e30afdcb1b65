"""Score tables: they come back as they were, and damage never passes for an answer."""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from realmnet_benchmarks.score_facts import PHANTOMS, ScoreFacts, TableFacts, TrainingFacts
from realmnet_benchmarks.score_tables import ScoreTable, read_scores, save_scores, score_table
from realmnet_benchmarks.splits import Split
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import (
    ConfigurationError,
    IncompatibleError,
    IntegrityError,
    MissingPath,
    OutputError,
    UsageError,
)
from realmnet_runtime.labels import PSMM

FACTS = ScoreFacts(
    study="models",
    variant="realmnet",
    model="RealMNet",
    preset="realmnet",
    run="all-sources",
    measured_on=PHANTOMS,
    image=384,
    upsampled=False,
    training=TrainingFacts(images=10, epochs=2, resampling="none", seed=42, train_digest="0" * 64),
    operating_point=OperatingPoint(
        temperatures=dict.fromkeys(PSMM.names, 2.0),
        thresholds=dict.fromkeys(PSMM.names, 0.3),
        fitted_on="val",
    ),
    protocol="cip",
    software={"numpy": np.__version__},
)


def split(images: int = 6) -> Split:
    labels = np.zeros((images, 7), np.uint8)
    labels[:, 0] = labels[np.arange(images), 2 + np.arange(images) % 5] = 1
    numbers = range(images)
    return Split(
        name="test",
        images=Path("nowhere"),
        label_set=PSMM,
        files=tuple(f"x{n}.jpg" for n in numbers),
        labels=labels,
        patients=tuple(f"p{9 - n // 2}" for n in numbers),
        sources=tuple("BA"[n % 2] for n in numbers),
        eyes=tuple(("OD", "OS", None)[n % 3] for n in numbers),
        exams=tuple((None, "one", "one")[n % 3] for n in numbers),
    )


def logits(images: int = 6) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(size=(images, 7)).astype(np.float32)


def equal(one: ScoreTable, other: ScoreTable) -> bool:
    arrays = ("logits", "labels", "patients", "eyes", "exams", "sources")
    return (
        one.facts == other.facts
        and one.test == other.test
        and all(np.array_equal(getattr(one, name), getattr(other, name)) for name in arrays)
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "a.scores.npz"
    save_scores(score_table(split(), logits(), FACTS), path)
    return path


def test_identifiers_become_numbers() -> None:
    table = score_table(split(), logits(), FACTS)
    assert table.patients.tolist() == [0, 0, 1, 1, 2, 2]
    assert table.eyes.tolist() == [0, 1, -1, 0, 1, -1]
    # The exam key is a patient's own: "one" of two patients is two examinations.
    assert table.exams.tolist() == [-1, 0, 1, -1, 2, 2]
    assert [table.test.sources[number] for number in table.sources] == list("BABABA")


def test_both_kinds_of_probability() -> None:
    table = score_table(split(), logits(), FACTS)
    np.testing.assert_allclose(table.probabilities, expit(logits().astype(np.float64)))
    assert table.calibrated is not None
    np.testing.assert_allclose(table.calibrated, expit(logits().astype(np.float64) / 2))
    assert table.thresholds is not None
    assert table.thresholds.tolist() == [0.3] * 7


def test_a_file_gives_back_its_table_and_holds_no_identifier(saved: Path) -> None:
    table = score_table(split(), logits(), FACTS)
    assert equal(read_scores(saved), table)
    first = saved.read_bytes()
    save_scores(table, saved)
    assert saved.read_bytes() == first
    with zipfile.ZipFile(saved) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert b".jpg" not in content
    assert b"p9" not in content


@settings(max_examples=40, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_means_nothing(
    tmp_path_factory: pytest.TempPathFactory, place: float, flip: int
) -> None:
    path = tmp_path_factory.mktemp("damage") / "a.scores.npz"
    table = score_table(split(), logits(), FACTS)
    save_scores(table, path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= flip
    path.write_bytes(content)
    try:
        found = read_scores(path)
    except IntegrityError:
        return
    assert equal(found, table)


@pytest.mark.parametrize("size", [0, 10, 400])
def test_a_file_cut_short_is_damaged(saved: Path, size: int) -> None:
    saved.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(IntegrityError, match="damaged"):
        read_scores(saved)


def rewritten(path: Path, **changed: NDArray[np.generic]) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez_compressed(path, **(arrays | changed))


def test_pickles_are_not_opened(saved: Path) -> None:
    rewritten(saved, eyes=np.array([{"a": 1}], dtype=object))
    with pytest.raises(IntegrityError):
        read_scores(saved)
    saved.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(IntegrityError):
        read_scores(saved)


def as_bytes(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(msgspec.json.encode(value), np.uint8)


def test_another_form_and_unknown_keys_are_refused(saved: Path) -> None:
    facts = msgspec.to_builtins(FACTS)
    rewritten(saved, facts=as_bytes(facts | {"schema": 2, "new": 1}))
    with pytest.raises(IncompatibleError, match="form 2 of score tables; this release reads 1"):
        read_scores(saved)
    rewritten(saved, facts=as_bytes({**facts, "modle": "RealMNet"}))
    with pytest.raises(ConfigurationError, match="did you mean 'model'"):
        read_scores(saved)


def test_arrays_that_contradict_each_other_are_damage(saved: Path) -> None:
    rewritten(saved, sources=np.full(6, 2, np.int16))
    with pytest.raises(IntegrityError, match="sources outside"):
        read_scores(saved)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("logits", np.full((6, 7), np.nan, np.float32), "not finite"),
        ("logits", np.zeros((6, 7)), "float64"),
        ("labels", np.full((6, 7), 2, np.uint8), "other than 0 and 1"),
        ("patients", np.full(6, 3, np.int32), "without gaps"),
        ("eyes", np.full(6, 2, np.int8), "eyes"),
        ("exams", np.full(6, -2, np.int32), "exams"),
        ("sources", np.full(5, 0, np.int16), "sources"),
    ],
)
def test_impossible_arrays_are_refused(name: str, value: NDArray[np.generic], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        replace(score_table(split(), logits(), FACTS), **{name: value})


def test_impossible_facts_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no development set"):
        msgspec.structs.replace(FACTS, protocol="mrp")
    with pytest.raises(ConfigurationError, match="label names"):
        TableFacts(name="t", label_set="x", labels=("a", "a"), sources=("s",), digest="0" * 64)
    point = OperatingPoint(temperatures={"x": 1.0}, thresholds={"x": 0.5}, fitted_on="val")
    with pytest.raises(ConfigurationError, match="expected one of each of NoPS"):
        score_table(split(), logits(), msgspec.structs.replace(FACTS, operating_point=point))


def test_labels_that_are_not_known_have_no_place_in_a_score_table() -> None:
    whole = split()
    known = np.ones(whole.labels.shape, np.bool_)
    known[whole.labels == 0] = np.arange(int((whole.labels == 0).sum())) > 1
    with pytest.raises(ConfigurationError, match="'test' has 2 unknown labels"):
        score_table(replace(whole, known=known), logits(), FACTS)


def test_places_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    table = score_table(split(), logits(), FACTS)
    with pytest.raises(MissingPath):
        read_scores(tmp_path / "none.scores.npz")
    with pytest.raises(UsageError, match=r"end it in \.scores\.npz"):
        save_scores(table, tmp_path / "a.npz")
    with pytest.raises(OutputError):
        save_scores(table, tmp_path / "none" / "a.scores.npz")
    (tmp_path / "b.scores.npz").write_bytes(io.BytesIO(b"PK\3\4").getvalue())
    with pytest.raises(IntegrityError):
        read_scores(tmp_path / "b.scores.npz")
