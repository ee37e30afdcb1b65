"""Eight to one to one, by patient, whatever the table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.boundary.annotations import Annotations
from realmnet_training.boundary.partition import divide


def build(borders: list[list[Any]]) -> Annotations:
    """A table of patients with pictures of the given borders."""
    rows = [(f"p{k:04d}", border) for k, own in enumerate(borders) for border in own]
    names = tuple(f"{row}.png" for row in range(len(rows)))
    patients = tuple(patient for patient, _ in rows)
    kinds = tuple(border for _, border in rows)
    return Annotations(Path(), names, names, patients, kinds, tuple(range(2, len(rows) + 2)))


tables = st.lists(
    st.lists(st.sampled_from(["black", "device"]), min_size=1, max_size=4), min_size=10, max_size=80
).map(build)


@settings(deadline=None, max_examples=30)
@given(tables, st.integers(0, 2**32 - 1))
def test_every_picture_is_in_one_part_and_every_patient_too(table: Annotations, seed: int) -> None:
    parts = divide(table, seed)
    each = (parts.train, parts.development, parts.test)
    assert sorted(file for part in each for file in part.files) == sorted(table.files)
    owners = [set(part.patients) for part in each]
    assert sum(map(len, owners)) == len(set(table.patients))
    count = len(set(table.patients))
    for owner in owners[1:]:
        assert count // 10 <= len(owner) <= -(-count // 10)


@settings(deadline=None, max_examples=30)
@given(tables, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_order_of_the_rows_does_not_matter(table: Annotations, seed: int, order: int) -> None:
    shuffled = table.select(np.random.default_rng(order).permutation(len(table)))
    assert divide(shuffled, seed).test.digest == divide(table, seed).test.digest


def test_the_papers_set_keeps_its_borders_shares() -> None:
    parts = divide(build([["black"]] * 303 + [["device"]] * 109), seed=42)
    counts = [Counter(part.borders) for part in (parts.train, parts.development, parts.test)]
    assert [sum(count.values()) for count in counts] == [330, 41, 41]
    assert [count["device"] for count in counts] == pytest.approx([87.2, 10.9, 10.9], abs=1)
    assert divide(build([["black"]] * 20), 1).test.digest != (
        divide(build([["black"]] * 20), 2).test.digest
    )


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"9 patients.*at least 10"):
        divide(build([["black"] * 5] * 9), seed=0)
