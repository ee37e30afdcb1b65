"""Partition by patient: laws, the file it is frozen to, and what another table is told."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_benchmarks.records import Records
from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath, OutputError
from realmnet_runtime.labels import PERIPHERAL, PSMM
from realmnet_training.data.partition import (
    PARTS,
    Partition,
    dominant_labels,
    partition_by_patient,
    read_partition,
    write_partition,
)

NONE = (0, 0, 0, 0, 0, 0, 0)
S0_A1, S1_A2, S1_A4 = (1, 0, 0, 1, 0, 0, 0), (0, 1, 0, 0, 1, 0, 0), (0, 1, 0, 0, 0, 0, 1)
RECORD_NUMBER = "7654321"


def table(*patients: tuple[tuple[int, ...], ...]) -> Split:
    """One table; each argument is a patient, given by the labels of its images."""
    owners = [number for number, images in enumerate(patients) for _ in images]
    names = tuple(f"Clinic-{RECORD_NUMBER}{number:04d}" for number in owners)
    return Split(
        name="all",
        images=Path(),
        label_set=PSMM,
        files=tuple(f"{name}_OD_{row}.jpg" for row, name in enumerate(names)),
        labels=np.array([labels for images in patients for labels in images], np.uint8),
        patients=names,
        sources=("Clinic",) * len(names),
        eyes=("OD",) * len(names),
    )


def many(common: int = 140, staphyloma: int = 40, atrophy: int = 20) -> Split:
    return table(*[(S0_A1, S0_A1)] * common, *[(S1_A2,)] * staphyloma, *[(S1_A4, S1_A4)] * atrophy)


IMAGES = st.lists(st.sampled_from([NONE, S0_A1, S1_A2, S1_A4]), min_size=1, max_size=4).map(tuple)


@settings(deadline=None)
@given(st.lists(IMAGES, min_size=7, max_size=60), st.integers(0, 9))
def test_patients_never_cross_and_none_is_lost(
    patients: list[tuple[tuple[int, ...], ...]], seed: int
) -> None:
    whole = table(*patients)
    partition = partition_by_patient(whole, seed=seed)
    parts = partition.divide(whole)
    # Records refuses a patient in two partitions
    assert list(Records(Path(), parts)) == list(PARTS)
    assert sorted(file for part in parts.values() for file in part.files) == sorted(whole.files)
    shares = [len(set(part.patients)) for part in parts.values()]
    np.testing.assert_allclose(shares, np.multiply((0.7, 0.15, 0.15), len(patients)), atol=1.0)
    assert partition == partition_by_patient(whole, seed=seed)


def test_every_stratum_is_divided_alike() -> None:
    whole = many()
    strata = dominant_labels(whole)
    assert Counter(strata.tolist()) == {0: 140, 4: 40, 6: 20}
    parts = np.array(list(partition_by_patient(whole).parts), int)
    for stratum in (0, 4, 6):
        shares = np.bincount(parts[strata == stratum], minlength=3) / (strata == stratum).sum()
        np.testing.assert_allclose(shares, (0.7, 0.15, 0.15), atol=0.001)


def test_the_order_of_rows_does_not_matter_and_the_seed_does() -> None:
    whole = many()
    shuffled = whole.select(np.random.default_rng(0).permutation(len(whole)))
    assert partition_by_patient(shuffled) == partition_by_patient(whole)
    assert partition_by_patient(whole, seed=1).parts != partition_by_patient(whole).parts


def test_ties_go_to_the_rarest_label_of_the_table() -> None:
    # the table has 3 of S0 and A1, 5 of S1, 4 of A2; all four tie in the third patient
    whole = table((S0_A1,), (S1_A2, S1_A2), (S0_A1, S1_A2), (S0_A1, S1_A2, S1_A4), (NONE,))
    assert dominant_labels(whole).tolist() == [0, 4, 0, 1, 7]


def test_rare_strata_are_pooled_not_lost() -> None:
    whole = table(*[(S0_A1,)] * 30, (S1_A4,), (S1_A2,), (NONE,))
    parts = partition_by_patient(whole).divide(whole)
    assert [len(part) for part in parts.values()] == [23, 5, 5]
    everyone_alone = table(*[(labels,) for labels in (NONE, S0_A1, S1_A2, S1_A4)], (S0_A1, S1_A2))
    divided = partition_by_patient(everyone_alone, (0.6, 0.2, 0.2)).divide(everyone_alone)
    assert [len(set(part.patients)) for part in divided.values()] == [3, 1, 1]


def test_a_frozen_partition_is_read_back(tmp_path: Path) -> None:
    whole = many()
    partition = partition_by_patient(whole, (0.5, 0.25, 0.25), seed=3)
    path = tmp_path / "partition.json"
    write_partition(partition, path)
    assert read_partition(path, whole) == partition
    # the file is only of use beside the table
    assert RECORD_NUMBER not in path.read_text()
    shuffled = whole.select(np.arange(len(whole))[::-1])
    before, after = partition.divide(whole), read_partition(path, shuffled).divide(shuffled)
    assert {part: before[part].digest for part in PARTS} == {
        part: after[part].digest for part in PARTS
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda whole: whole.select(range(1, len(whole))), "359 images of 200 patients, not 360"),
        (lambda whole: whole.select(range(2, len(whole))), "358 images of 199 patients, not 360"),
        (
            lambda whole: replace(whole, labels=whole.labels[::-1]),
            "file names, patients or labels have changed",
        ),
        (
            lambda whole: replace(
                whole,
                label_set=PERIPHERAL,
                labels=whole.labels[:, :5],
                known=whole.known[:, :5],
            ),
            "it has the labels 'peripheral', not 'psmm'",
        ),
    ],
)
def test_another_table_is_refused_with_the_reason(
    tmp_path: Path, change: object, says: str
) -> None:
    whole = many()
    path = tmp_path / "partition.json"
    write_partition(partition_by_patient(whole), path)
    other = change(whole)  # type: ignore[operator]
    with pytest.raises(IntegrityError, match=says) as caught:
        read_partition(path, other)
    assert RECORD_NUMBER not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"parts": "01"}, "places 2 of 200 patients"),
        ({"parts": "3" * 200}, "parts"),
        ({"digest": "0"}, "digest"),
        ({"sead": 1}, "did you mean 'seed'"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, object], says: str) -> None:
    whole = many()
    path = tmp_path / "partition.json"
    write_partition(partition_by_patient(whole), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigurationError, match=says):
        read_partition(path, whole)


def test_missing_and_unwritable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="give the path of a partition"):
        read_partition(tmp_path / "none.json", many())
    with pytest.raises(OutputError):
        write_partition(partition_by_patient(many()), tmp_path)


@pytest.mark.parametrize("shares", [(0.7, 0.2, 0.2), (1.0, 0.0, 0.0), (1.2, -0.1, -0.1)])
def test_impossible_shares_are_refused(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigurationError, match="expected three above 0 that sum to 1"):
        partition_by_patient(many(), shares)


def test_a_part_without_a_patient_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="leave 'val' without any"):
        partition_by_patient(table((S0_A1,), (S0_A1,)))


def test_a_partition_that_exists_places_everyone() -> None:
    with pytest.raises(ConfigurationError, match="places 3 of 4"):
        Partition("0" * 64, 9, 4, "psmm", 42, (0.7, 0.15, 0.15), "012")
