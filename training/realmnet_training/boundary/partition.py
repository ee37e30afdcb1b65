"""Eight, one and one tenth of the patients to train, develop and test, as the paper did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.boundary.annotations import BORDERS, Annotations

Part = Literal["train", "development", "test"]

_TENTHS: Final = 10
_DEVELOPMENT: Final = 4
_TEST: Final = 9


@dataclass(frozen=True)
class Parts:
    """The three parts of a table; no patient is in two of them."""

    train: Annotations
    development: Annotations
    test: Annotations


def divide(table: Annotations, seed: int) -> Parts:
    """Divide a table by patient, 8:1:1, alike in the patients' usual border.

    Patients are shuffled within their most frequent border and every tenth is taken to develop,
    every tenth to test, so each border's share of a part is right to within one patient. The
    answer follows from the set of rows and the seed; the rows' order does not matter.

    Args:
        table: at least ten patients.
        seed: of the shuffle.

    Raises:
        ConfigurationError: fewer than ten patients.
    """
    kinds: dict[str, Counter[str]] = {}
    for patient, border in zip(table.patients, table.borders, strict=True):
        kinds.setdefault(patient, Counter())[border] += 1
    if len(kinds) < _TENTHS:
        raise ConfigurationError(
            f"{len(kinds)} patients cannot be divided 8:1:1; annotate pictures of at least "
            f"{_TENTHS} patients"
        )
    random = np.random.default_rng(seed)
    order: list[str] = []
    for border in BORDERS:
        # a tie goes to the first border
        stratum = sorted(p for p, counts in kinds.items() if _usual(counts) == border)
        order += [stratum[k] for k in random.permutation(len(stratum))]
    part_of: dict[str, Part] = {
        patient: _part(position % _TENTHS) for position, patient in enumerate(order)
    }
    rows: dict[Part, list[int]] = {"train": [], "development": [], "test": []}
    for row, patient in enumerate(table.patients):
        rows[part_of[patient]].append(row)
    return Parts(*(table.select(rows[part]) for part in ("train", "development", "test")))


def _usual(counts: Counter[str]) -> str:
    return max(BORDERS, key=lambda border: counts[border])


def _part(place: int) -> Part:
    if place == _DEVELOPMENT:
        return "development"
    return "test" if place == _TEST else "train"
