"""Which pictures may calibrate: development only, every label, every source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_benchmarks.splits import Split
from realmnet_compression.quantisation.calibration import (
    CalibrationPlan,
    InputTensors,
    choose_calibration,
    require_development,
)
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.labels import PSMM
from realmnet_runtime.pictures.preprocess import PreprocessSpec, to_tensor
from realmnet_training.pictures.prepared import PreparedSplit


def table(labels: np.ndarray, name: str = "val", sources: tuple[str, ...] = ("A", "B")) -> Split:
    count = len(labels)
    places = tuple(sources[row % len(sources)] for row in range(count))
    return Split(
        name=name,
        images=Path("pictures"),
        label_set=PSMM,
        files=tuple(f"{row}.jpg" for row in range(count)),
        labels=labels.astype(np.uint8),
        patients=tuple(f"{place}-{row // 4}" for row, place in enumerate(places)),
        sources=places,
        eyes=(None,) * count,
    )


def random_labels(count: int, seed: int) -> np.ndarray:
    shares = np.array([0.7, 0.3, 0.1, 0.6, 0.2, 0.1, 0.08])
    labels = np.random.default_rng(seed).random((count, 7)) < shares
    labels[:2] = True
    return labels


@given(st.integers(40, 160), st.integers(1, 60), st.integers(0, 9))
def test_the_plan_is_kept(count: int, pictures: int, seed: int) -> None:
    split = table(random_labels(count, seed))
    plan = CalibrationPlan(pictures=pictures, at_least=2, seed=seed)

    rows = choose_calibration(split, plan)

    assert sorted(set(rows.tolist())) == rows.tolist()
    assert (split.labels[rows].sum(axis=0) >= 2).all()
    assert len(rows) == min(count, pictures) or pictures < 14
    np.testing.assert_array_equal(rows, choose_calibration(split, plan))


def test_sources_take_turns() -> None:
    split = table(np.ones((90, 7)), sources=("A", "A", "B"))

    rows = choose_calibration(split, CalibrationPlan(pictures=40, at_least=1))

    counts = {source: sum(split.sources[row] == source for row in rows) for source in "AB"}
    assert counts["B"] >= 18


def test_a_label_with_too_few_pictures_is_named() -> None:
    labels = random_labels(50, 0)
    labels[:, 6] = False
    labels[0, 6] = True

    with pytest.raises(ConfigurationError, match="has 1 pictures of 'MA'; calibration needs 4"):
        choose_calibration(table(labels), CalibrationPlan(pictures=20, at_least=4))


@pytest.mark.parametrize("name", ["test", "test_natural", "train", "external"])
def test_only_development_pictures_may_calibrate(name: str) -> None:
    split = table(random_labels(50, 0), name)

    with pytest.raises(UsageError, match=f"split '{name}' may not calibrate"):
        choose_calibration(split, CalibrationPlan(pictures=20, at_least=1))
    with pytest.raises(UsageError):
        require_development(split)


def test_tensors_are_the_runtimes_own() -> None:
    spec = PreprocessSpec(size=32, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    prepared = PreparedSplit(table(np.ones((5, 7))), pictures, ())
    tensors = InputTensors(prepared, spec, [3, 1, 4])

    assert len(tensors) == 3
    assert len(tensors[1:]) == 2
    assert len(InputTensors(prepared, spec)) == 5
    np.testing.assert_array_equal(tensors[1:][0], to_tensor(pictures[1], spec)[np.newaxis])
