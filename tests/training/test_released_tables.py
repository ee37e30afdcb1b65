"""Table A2, the protocols' sizes and the authors' resampling, from the released label tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from realmnet_benchmarks.records import Records, read_table
from realmnet_benchmarks.splits import Split
from realmnet_training.data.partition import PARTS, dominant_labels, partition_by_patient
from realmnet_training.data.pooling import pool
from realmnet_training.data.protocols import PROTOCOLS, tables_of
from realmnet_training.imbalance import Imbalance, measure_imbalance
from realmnet_training.resampling import lp_ros, lp_rus, ml_ros, ml_rus, remedial, remedial_hwr

RELEASED = Path(__file__).parents[3] / "shared/reference/psmm"
Reader = Callable[[str], dict[str, Any]]

pytestmark = pytest.mark.skipif(
    not RELEASED.exists(), reason="no ../shared/reference/psmm beside the repository"
)


@pytest.fixture(scope="module")
def released() -> Records:
    tables = [read_table(path) for path in sorted(RELEASED.glob("*.csv"))]
    return Records(RELEASED, {table.name: table for table in tables})


@pytest.fixture(scope="module")
def whole(released: Records) -> Split:
    return pool("all", [released[part] for part in PARTS])


def assert_measures(measured: Imbalance, worked: dict[str, Any]) -> None:
    assert measured.counts.tolist() == worked["count"]
    for name, value in (
        ("IRLbl", measured.irlbl),
        ("MeanIR", measured.mean_ir),
        ("SCUMBLE", measured.scumble),
        ("SCUMBLE_cv", measured.scumble_cv),
        ("SCUMBLELbl", measured.scumble_lbl),
        ("cardinality", measured.cardinality),
    ):
        np.testing.assert_allclose(value, worked[name], rtol=1e-6, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", ["train", "train_mlrus20", "test"])
def test_measures_are_the_worked_ones(released: Records, vectors: Reader, name: str) -> None:
    worked = vectors("label_imbalance")["sets"][name]
    labels = released[name].labels
    measured = measure_imbalance(labels)
    assert_measures(measured, worked)
    assert np.flatnonzero(measured.minority).tolist() == [
        released[name].label_set.codes.index(code) for code in worked["remedial"]["minority_labels"]
    ]
    indices, rows = remedial(labels)
    assert len(rows) - len(labels) == worked["remedial"]["decoupled_samples"]
    assert len(np.unique(indices)) == len(labels)
    assert len(np.unique(rows, axis=0)) == worked["remedial"]["after"]["labelsets"]
    assert_measures(measure_imbalance(rows), worked["remedial"]["after"])


def test_table_a2_to_four_decimals(released: Records) -> None:
    before = measure_imbalance(released["train"].labels)
    after = measure_imbalance(remedial(released["train"].labels)[1])
    printed = [1.1145, 2.0999, 15.4234, 1.0, 5.0833, 11.5897, 38.9930]
    np.testing.assert_allclose(before.irlbl, printed, atol=5e-5)
    printed = [0.0394, 0.1393, 0.4986, 0.0124, 0.0915, 0.2853, 0.5596]
    np.testing.assert_allclose(before.scumble_lbl, printed, atol=5e-5)
    printed = [0.0018, 0.0606, 0.0, 0.0124, 0.0915, 0.0, 0.0]
    np.testing.assert_allclose(after.scumble_lbl, printed, atol=5e-5)
    measured = (before.mean_ir, before.scumble, after.scumble)
    np.testing.assert_allclose(measured, (10.7577, 0.0741, 0.0174), atol=5e-5)


def test_protocols_have_the_published_sizes(released: Records) -> None:
    others = {"SUSTech": 2_835, "LishuiR": 938, "Zhongshan": 456, "LishuiZ": 220}
    sizes: dict[str, tuple[int, dict[str, int]]] = {}
    for protocol in PROTOCOLS.values():
        for run in protocol.runs:
            tables = tables_of(run, released)
            sizes[run.name] = (
                len(tables.train),
                {name: len(test) for name, test in tables.tests.items()},
            )
            expected = 6_377 if protocol.name == "cip" else None
            assert (None if tables.development is None else len(tables.development)) == expected
    assert sizes == {
        "all-sources": (30_420, {"test": 6_574}),
        "from-ShenzhenEye": (38_922, others),
        **{f"without-{name}": (43_371 - images, {name: images}) for name, images in others.items()},
    }


def test_ml_rus_drops_what_the_authors_dropped(released: Records) -> None:
    labels = released["train"].labels.astype(np.int64)
    authors = labels.sum(axis=0) - released["train_mlrus20"].labels.sum(axis=0)
    assert authors.tolist() == [2_712, 3_025, 112, 3_357, 1_929, 255, 84]
    kept = [ml_rus(labels, 0.2, seed) for seed in range(200)]
    drops = labels.sum(axis=0) - np.array([labels[indices].sum(axis=0) for indices in kept])
    away = (authors - drops.mean(axis=0)) / drops.std(axis=0, ddof=1)
    assert np.abs(away).max() < 2.0
    assert np.mean([len(indices) for indices in kept]) == pytest.approx(24_683, abs=60)


def test_ml_rus_keeps_the_published_number_of_images(released: Records) -> None:
    published = {
        "from-ShenzhenEye": 31_575,
        "without-SUSTech": 32_888,
        "without-LishuiR": 34_408,
        "without-Zhongshan": 34_871,
        "without-LishuiZ": 35_009,
    }
    for protocol in ("mrp", "cgp"):
        for run in PROTOCOLS[protocol].runs:
            labels = tables_of(run, released).train.labels
            kept = np.mean([len(ml_rus(labels, 0.2, seed)) for seed in range(20)])
            assert kept == pytest.approx(published[run.name], abs=60), run.name


def test_the_other_methods_on_the_released_table(released: Records) -> None:
    labels = released["train"].labels
    # 6,084 images deleted or repeated, where the bags allow it
    assert len(lp_rus(labels, 0.2)) == 30_420 - 6_084
    assert len(lp_ros(labels, 0.2)) == 30_420 + 6_084
    # A0, A3 and A4 reach MeanIR at 2,059 images each
    assert len(ml_ros(labels, 0.2)) == 30_420 + 623 + 148 + 1_491
    assert len(remedial_hwr(labels, 0.2)[0]) == 38_692 + 623 + 148 + 1_491
    balanced = measure_imbalance(labels[ml_ros(labels, 0.2)])
    assert balanced.irlbl.max() <= 10.7577


def test_the_released_partition_is_stratified_by_our_rule(released: Records, whole: Split) -> None:
    strata = dominant_labels(whole)
    number = dict(zip(whole.patients, whole.patient_index.tolist(), strict=True))
    for share, part in zip((0.7, 0.15, 0.15), PARTS, strict=True):
        patients = [number[patient] for patient in set(released[part].patients)]
        theirs = np.bincount(strata[patients], minlength=7)
        assert np.abs(theirs - share * np.bincount(strata, minlength=7)).max() < 1.0


def test_a_partition_of_our_own_has_the_published_numbers_of_patients(whole: Split) -> None:
    parts = partition_by_patient(whole).divide(whole)
    assert [len(set(part.patients)) for part in parts.values()] == [3_192, 684, 684]
    strata = np.bincount(dominant_labels(whole), minlength=7)
    by_part = [np.bincount(dominant_labels_of(part, whole), minlength=7) for part in parts.values()]
    for share, here in zip((0.7, 0.15, 0.15), by_part, strict=True):
        assert np.abs(here - share * strata).max() < 1.5


def dominant_labels_of(part: Split, whole: Split) -> np.ndarray:
    number = dict(zip(whole.patients, whole.patient_index.tolist(), strict=True))
    return dominant_labels(whole)[[number[patient] for patient in set(part.patients)]]
