"""Answers of a split, metrics of what was answered, and two variants side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from realmnet_benchmarks.accuracy import (
    Answers,
    answer,
    compare,
    flatten,
    measure,
    measure_intervals,
)
from realmnet_benchmarks.accuracy_tables import comparison_table, metrics_table
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import IncompatibleError, MissingPath, UnreadableImage, UsageError
from realmnet_runtime.labels import PERIPHERAL, PSMM

IMAGES = 90
RNG = np.random.default_rng(11)


def split(folder: Path = Path("nowhere")) -> Split:
    rng = np.random.default_rng(5)
    labels = np.zeros((IMAGES, 7), dtype=np.uint8)
    labels[np.arange(IMAGES), rng.integers(0, 2, IMAGES)] = 1
    labels[np.arange(IMAGES), 2 + np.arange(IMAGES) % 5] = 1
    patients = [f"P-{number // 3}" for number in range(IMAGES)]
    return Split(
        name="test",
        images=folder,
        label_set=PSMM,
        files=tuple(f"{number}.bin" for number in range(IMAGES)),
        labels=labels,
        patients=tuple(patients),
        sources=("P",) * IMAGES,
        eyes=("OD", "OS", None) * (IMAGES // 3),
    )


def answers(probabilities: NDArray[np.float64], thresholds: float = 0.5) -> Answers:
    refused = np.asarray(np.isnan(probabilities).any(axis=1))
    return Answers(
        variant="onnxruntime-fp32 (fp32)",
        labels=PSMM.names,
        probabilities=probabilities,
        decisions=probabilities >= thresholds,
        thresholds=np.full(7, thresholds),
        refused=refused,
        refusals={},
    )


SCORES = np.clip(0.4 * split().labels + 0.6 * RNG.random((IMAGES, 7)), 0, 1)


@dataclass(frozen=True)
class Replay:
    """The part of a prediction that accuracy reads."""

    probabilities: dict[str, float]
    thresholds: dict[str, float]
    findings: tuple[str, ...]
    variant: str = "onnxruntime-fp32"
    precision: str = "fp32"


class Recorded:
    """Replays the eight-byte numbers a file holds; an empty file is refused.

    A file of one number is ungradable.
    """

    def __init__(self, names: tuple[str, ...] = PSMM.names) -> None:
        self.names = names

    def predict(self, image: Path, /) -> Replay:
        if not image.exists():
            raise MissingPath("no such image")
        values = np.frombuffer(image.read_bytes())
        if not len(values):
            raise UnreadableImage("an empty file")
        if len(values) == 1:
            return Replay({}, dict.fromkeys(self.names, 0.6), ())
        probabilities = dict(zip(self.names, values.tolist(), strict=False))
        found = tuple(name for name, value in probabilities.items() if value >= 0.6)
        return Replay(probabilities, dict.fromkeys(self.names, 0.6), found)


def written(folder: Path, empty: tuple[int, ...] = ()) -> Split:
    for row, values in enumerate(SCORES):
        (folder / f"{row}.bin").write_bytes(b"" if row in empty else values.tobytes())
    return split(folder)


def test_answers_follow_the_rows_of_the_split(tmp_path: Path) -> None:
    done: list[int] = []
    found = answer(Recorded(), written(tmp_path), done.append)
    np.testing.assert_array_equal(found.probabilities, SCORES)
    np.testing.assert_array_equal(found.decisions, SCORES >= 0.6)
    np.testing.assert_array_equal(found.thresholds, np.full(7, 0.6))
    assert found.variant == "onnxruntime-fp32 (fp32)"
    assert done == list(range(1, IMAGES + 1))
    assert not found.refusals


def test_refused_images_are_counted_and_left_out_of_the_metrics(tmp_path: Path) -> None:
    table = written(tmp_path, empty=(0, 7))
    found = answer(Recorded(), table)
    assert np.flatnonzero(found.refused).tolist() == [0, 7]
    assert dict(found.refusals) == {"UnreadableImage": 2}
    kept = np.delete(np.arange(IMAGES), [0, 7])
    columns = zip(table.labels[kept].T, SCORES[kept].T, strict=True)
    expected = [average_precision_score(truth, scores) for truth, scores in columns]
    metrics = measure(found, table)
    np.testing.assert_allclose(metrics["ap_per_label"], expected, rtol=1e-12)
    interval = measure_intervals(found, table, replicates=40)["ap_macro"]
    assert float(interval.estimate) == pytest.approx(metrics["ap_macro"])
    assert float(interval.low) <= float(interval.estimate) <= float(interval.high)


def test_ungradable_images_are_counted_as_refused(tmp_path: Path) -> None:
    table = written(tmp_path, empty=(7,))
    (tmp_path / f"{IMAGES - 1}.bin").write_bytes(np.zeros(1).tobytes())
    found = answer(Recorded(), table)
    assert np.flatnonzero(found.refused).tolist() == [7, IMAGES - 1]
    assert dict(found.refusals) == {"UnreadableImage": 1, "Ungradable": 1}
    assert found.variant == "onnxruntime-fp32 (fp32)"


def test_other_errors_are_not_refusals(tmp_path: Path) -> None:
    table = written(tmp_path)
    (tmp_path / "3.bin").unlink()
    with pytest.raises(MissingPath):
        answer(Recorded(), table)


def test_a_split_that_is_refused_whole_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"all 90 images .*UnreadableImage"):
        answer(Recorded(), written(tmp_path, empty=tuple(range(IMAGES))))


def test_labels_that_differ_from_the_bundles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="NoPL"):
        answer(Recorded(PERIPHERAL.names), written(tmp_path))


def test_a_variant_compared_with_itself_does_not_differ() -> None:
    result = compare(answers(SCORES), answers(SCORES), split(), replicates=30)
    for interval in (*result.differences.values(), result.flips, result.changed_images):
        assert not np.any([interval.estimate, interval.low, interval.high])


def test_flips_are_those_that_were_made() -> None:
    changed = SCORES.copy()
    for row, label in ((0, 0), (0, 1), (4, 3), (9, 6)):
        changed[row, label] = 1 - changed[row, label]
        changed[row, label] += np.sign(changed[row, label] - 0.5) * 0.01
    flipped = (changed >= 0.5) != (SCORES >= 0.5)
    assert flipped.sum() == 4
    result = compare(answers(SCORES), answers(np.clip(changed, 0, 1)), split(), replicates=30)
    assert float(result.flips.estimate) == pytest.approx(4 / (IMAGES * 7) * 1_000)
    assert float(result.changed_images.estimate) == pytest.approx(3 / IMAGES * 1_000)
    np.testing.assert_allclose(
        result.flips_per_label.estimate, flipped.sum(axis=0) / IMAGES * 1_000
    )
    np.testing.assert_allclose(
        result.differences["ap_per_label"].estimate,
        result.after["ap_per_label"] - result.before["ap_per_label"],
        atol=1e-12,
    )


def test_a_comparison_uses_what_both_answered_and_each_ones_thresholds() -> None:
    first, second = SCORES.copy(), SCORES.copy()
    first[2], second[5] = np.nan, np.nan
    result = compare(answers(first), answers(second, 0.7), split(), replicates=30)
    assert result.images == IMAGES - 2
    assert result.refused_by_one == 2
    rows = np.delete(np.arange(IMAGES), [2, 5])
    between = (SCORES[rows] >= 0.5) & (SCORES[rows] < 0.7)
    assert float(result.flips.estimate) == pytest.approx(1_000 * between.mean())


def test_answers_of_another_split_are_refused() -> None:
    with pytest.raises(UsageError, match="answers are for 80 images"):
        measure(answers(SCORES[:80]), split())
    with pytest.raises(UsageError, match="NaN where nothing was refused"):
        Answers("x", PSMM.names, SCORES * np.nan, SCORES > 2, SCORES[0], SCORES[:, 0] > 2, {})


def test_evidence_is_flat_and_leaves_out_what_does_not_exist() -> None:
    table = split().select(range(0, IMAGES, 5))
    flat = flatten(measure(answers(SCORES[::5]), table), PSMM.names)
    assert "ap/NoMRL" in flat
    assert "auroc/NoMRL" not in flat
    assert "ap/TFO" not in flat
    assert not np.isnan(list(flat.values())).any()
    assert flat["f1_macro"] == pytest.approx(measure(answers(SCORES[::5]), table)["f1_macro"])


def test_tables_print_every_label_and_what_is_absent() -> None:
    found = answers(SCORES)
    intervals = measure_intervals(found, split(), replicates=30)
    metrics = measure(found, split())
    text = metrics_table(metrics, PSMM.names, intervals)
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[1:9]] == [*PSMM.names, "macro"]
    assert f"{100 * metrics['ap_macro']:.1f} [" in lines[8]
    alone = split().select(range(0, IMAGES, 5))
    assert " -" in metrics_table(measure(answers(SCORES[::5]), alone), PSMM.names)
    compared = comparison_table(compare(found, answers(SCORES[:, :]), split(), replicates=30))
    assert "+0.00 [+0.00, +0.00]" in compared
    assert compared.splitlines()[-1].endswith("0.0 [0.0, 0.0]")


def test_eyes_are_counted_once_and_unstated_ones_once_a_patient() -> None:
    table = split()
    keys = [
        {(table.patients[i], table.eyes[i]) for i in range(IMAGES) if table.labels[i, label]}
        for label in range(7)
    ]
    assert table.positive_eyes.tolist() == [len(key) for key in keys]
    assert table.select([0, 0, 3, 3]).positive_eyes.sum() == 4
