"""Dividing a table by patient: 70 / 15 / 15 %, stratified, frozen to a file.

A patient's stratum is the label most of the patient's images have; of equally frequent ones, the
label that fewest images of the whole table have. The paper does not state how ties are broken, and
every image of PSMM has two labels, so most patients tie. Under this rule each stratum of the
released partition lies within one patient of 70 / 15 / 15 %; under first or last label, or the
label set, strata are off by six to twelve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath
from realmnet_runtime.files import write_atomically
from realmnet_runtime.structs import decode_json

Indices = NDArray[np.int64]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Share = Annotated[float, Meta(gt=0.0, lt=1.0)]

PARTS: Final = ("train", "val", "test")
SHARES: Final = (0.70, 0.15, 0.15)
SEED: Final = 42


class Partition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part each patient of one table belongs to; holds no identifier.

    Attributes:
        digest: of the table that was divided, `Split.digest`.
        images, patients: of that table.
        label_set: name of its label set.
        seed: of the draw.
        shares: of the patients in train, val and test.
        parts: one digit for each patient in the order of their identifiers, the number of the
            patient's part in `PARTS`. Without the table it says nothing about anyone.
    """

    digest: Digest
    images: Annotated[int, Meta(ge=1)]
    patients: Annotated[int, Meta(ge=1)]
    label_set: str
    seed: Annotated[int, Meta(ge=0)]
    shares: tuple[Share, Share, Share]
    parts: Annotated[str, Meta(pattern="^[012]+$")]

    def __post_init__(self) -> None:
        if len(self.parts) != self.patients:
            raise ConfigurationError(
                f"partition places {len(self.parts)} of {self.patients} patients; it must place all"
            )

    def divide(self, split: Split) -> dict[str, Split]:
        """The table's rows by part, in their order, named after the parts.

        Raises:
            IntegrityError: the table is not the one that was divided; the message says how it
                differs.
        """
        self.require(split)
        part_of_image = np.frombuffer(self.parts.encode(), np.uint8)[split.patient_index] - ord("0")
        return {
            name: replace(split.select(np.flatnonzero(part_of_image == number)), name=name)
            for number, name in enumerate(PARTS)
        }

    def require(self, split: Split) -> None:
        """Refuse a table that is not the one that was divided.

        Raises:
            IntegrityError: with the reason.
        """
        if self.digest == split.digest:
            return
        patients = len(set(split.patients))
        if self.label_set != split.label_set.name:
            reason = f"it has the labels '{split.label_set.name}', not '{self.label_set}'"
        elif (len(split), patients) != (self.images, self.patients):
            reason = (
                f"it has {len(split)} images of {patients} patients, not {self.images} of "
                f"{self.patients}"
            )
        else:
            reason = "file names, patients or labels have changed"
        raise IntegrityError(
            f"the partition was made of another table than '{split.name}': {reason}; use that "
            "table, or partition this one anew"
        )


def partition_by_patient(
    split: Split, shares: tuple[float, float, float] = SHARES, seed: int = SEED
) -> Partition:
    """Divide the patients of a table into train, val and test, stratified by dominant label.

    Parts have the nearest whole numbers of patients. Where a stratum has fewer than two patients
    left to divide, or there are more strata than the smaller side has patients, the two smallest
    strata are pooled until neither holds: rare labels are then spread by chance, not left out.
    Patients without any label are a stratum of their own.

    Args:
        split: the whole table.
        shares: of the patients in train, val and test; they sum to 1.
        seed: 0 or more.

    Raises:
        ConfigurationError: shares that do not sum to 1, or a part that would have no patient.
    """
    if abs(sum(shares) - 1.0) > 1e-9 or min(shares) <= 0.0:
        raise ConfigurationError(
            f"shares {shares} of train, val and test; expected three above 0 that sum to 1"
        )
    strata = dominant_labels(split)
    sizes = _sizes(len(strata), shares)
    if min(sizes) < 1:
        raise ConfigurationError(
            f"{len(strata)} patients shared as {shares} leave '{PARTS[int(np.argmin(sizes))]}' "
            "without any; give more patients or other shares"
        )
    everyone = np.arange(len(strata))
    _, rest = _divide(everyone, strata, sizes[0], seed)
    val, test = _divide(rest, strata[rest], sizes[1], seed)
    parts = np.zeros(len(strata), np.uint8)
    parts[val], parts[test] = 1, 2
    return Partition(
        digest=split.digest,
        images=len(split),
        patients=len(strata),
        label_set=split.label_set.name,
        seed=seed,
        shares=shares,
        parts="".join(map(str, parts.tolist())),
    )


def dominant_labels(split: Split) -> Indices:
    """The stratum of each patient: the label most of the patient's images have.

    Returns:
        (P,) label positions, in the order of `patient_index`; of equally frequent labels the one
        that fewest images of the table have, then the first; L for a patient without any.
    """
    patient = split.patient_index
    counts = np.zeros((int(patient.max()) + 1, len(split.label_set)), np.int64)
    np.add.at(counts, patient, split.labels)
    rarest_first = np.argsort(split.labels.sum(axis=0), kind="stable")
    dominant = rarest_first[counts[:, rarest_first].argmax(axis=1)]
    return np.where(counts.any(axis=1), dominant, len(split.label_set))


def write_partition(partition: Partition, path: Path | str) -> None:
    """Freeze a partition to a JSON file.

    Raises:
        OutputError: the file cannot be written; what was there before is untouched.
    """
    text = msgspec.json.format(msgspec.json.encode(partition), indent=2)
    write_atomically(path, text + b"\n")


def read_partition(path: Path | str, split: Split) -> Partition:
    """Read a frozen partition for the table it was made of.

    Raises:
        MissingPath: no such file.
        ConfigurationError: not a partition.
        IntegrityError: it was made of another table; the message says how that differs.
    """
    try:
        raw = Path(path).read_bytes()
    except (FileNotFoundError, IsADirectoryError):
        raise MissingPath(f"{path} is not a file; give the path of a partition") from None
    partition = decode_json(raw, Partition, str(path))
    partition.require(split)
    return partition


def _sizes(count: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers nearest to the shares that sum to the count; of ties the first part grows."""
    exact = [round(share * count, 6) for share in shares]
    sizes = [int(size) for size in exact]
    by_remainder = sorted(range(len(sizes)), key=lambda part: sizes[part] - exact[part])
    for part in by_remainder[: count - sum(sizes)]:
        sizes[part] += 1
    return sizes


def _divide(patients: Indices, strata: Indices, first: int, seed: int) -> tuple[Indices, Indices]:
    second = len(patients) - first
    one, other = train_test_split(
        patients,
        train_size=first,
        test_size=second,
        random_state=seed,
        stratify=_pool_rare(strata, at_most=min(first, second)),
    )
    return np.sort(one), np.sort(other)


def _pool_rare(strata: Indices, at_most: int) -> Indices:
    pooled = strata.copy()
    while True:
        names, counts = np.unique(pooled, return_counts=True)
        if len(names) == 1 or (counts.min() >= 2 and len(names) <= at_most):
            return pooled
        smallest, next_smallest = names[np.argsort(counts, kind="stable")[:2]]
        pooled[pooled == smallest] = next_smallest
