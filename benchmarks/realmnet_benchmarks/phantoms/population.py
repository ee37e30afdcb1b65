"""Populations of synthetic patients: which labels, how severe, at which hospital."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from realmnet_benchmarks.phantoms.cases import (
    GRADE_SIGNS,
    MINIMUM_SEVERITY,
    PERIPHERAL_SIGNS,
    SIGNS,
    BorderKind,
    Eye,
    PhantomCase,
)
from realmnet_benchmarks.phantoms.hospitals import HOSPITALS, Hospital
from realmnet_benchmarks.phantoms.streams import stream
from realmnet_runtime.errors import ConfigurationError

LABEL_COUNTS: Final[dict[tuple[str, str], int]] = {
    ("NoPS", "NoMRL"): 2_070,
    ("NoPS", "TFO"): 26_487,
    ("NoPS", "DCA"): 52,
    ("NoPS", "PCA"): 118,
    ("PS", "TFO"): 5_214,
    ("PS", "DCA"): 6_064,
    ("PS", "PCA"): 2_581,
    ("PS", "MA"): 785,
}
"""Images per label set in the released tables of PSMM: only these eight sets occur."""

FELLOW_AGREES: Final = 0.75
"""Share of patients whose second eye is given the label set of the first."""

PERIPHERAL_SHARES: Final[dict[str, float]] = dict(
    zip(PERIPHERAL_SIGNS, (0.12, 0.08, 0.05, 0.08), strict=True)
)
"""Share of eyes with each sign of the periphery, where these signs only distract."""

FREQUENT_PERIPHERAL_SHARES: Final[dict[str, float]] = dict.fromkeys(PERIPHERAL_SIGNS, 0.3)
"""Shares where these signs are the labels: about a quarter of the eyes has none."""

_CONFUSER_SHARE: Final = {
    "drusen": 0.12,
    "bright_pole": 0.15,
    "macular_pigment": 0.1,
    "floater": 0.15,
    "nevus": 0.06,
    "reflex": 0.2,
    "pale_halo": 0.15,
}
_ARC_SHADOW_SHARE: Final = 0.35


@dataclass(frozen=True, slots=True)
class Mix:
    """A distribution over label sets.

    Attributes:
        name: how it is called in options and tables.
        sets: label sets, each one of NoPS/PS and one of the grades.
        weights: relative frequency of each set, all > 0.
    """

    name: str
    sets: tuple[tuple[str, str], ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.sets or len(self.sets) != len(self.weights) or min(self.weights) <= 0:
            raise ConfigurationError(
                f"mix '{self.name}' has {len(self.sets)} sets and weights {self.weights}; "
                "give one weight above 0 per set"
            )

    def deal(self, rng: np.random.Generator, count: int) -> list[tuple[str, str]]:
        """Deal `count` label sets whose frequencies follow the weights to within one set each."""
        edges = np.cumsum(self.weights) / np.sum(self.weights)
        marks = (np.arange(count) + rng.uniform()) / max(count, 1)
        chosen = np.minimum(np.searchsorted(edges, marks, side="right"), len(self.sets) - 1)
        return [self.sets[k] for k in rng.permutation(chosen)]


NATURAL: Final = Mix("natural", tuple(LABEL_COUNTS), tuple(map(float, LABEL_COUNTS.values())))
BALANCED: Final = Mix("balanced", tuple(LABEL_COUNTS), (1.0,) * len(LABEL_COUNTS))


def draw_population(
    patients: int,
    seed: int,
    mix: Mix | Sequence[Sequence[int]] = NATURAL,
    hospitals: Sequence[Hospital] = HOSPITALS,
    *,
    images_per_patient: int = 4,
    first_patient: int = 0,
    peripheral_shares: Mapping[str, float] = PERIPHERAL_SHARES,
) -> tuple[PhantomCase, ...]:
    """Draw synthetic patients and all their pictures.

    A label set belongs to an eye; the fellow eye has the same one in 75 % of patients. Severity is
    uniform in 0.05..1 per eye. Pictures are shared between the right eye, which gets the odd
    one, and the left.

    Args:
        patients: how many, >= 1.
        seed: >= 0; the same seed gives the same population.
        mix: NATURAL, BALANCED, or label rows (zeros and ones in PSMM order) given eye by eye:
            right then left of the first patient, and so on.
        hospitals: where the patients go, by their shares.
        images_per_patient: >= 1; 1 photographs the right eye only.
        first_patient: number of the first patient. Splits of one data set need ranges that do
            not overlap.
        peripheral_shares: share of eyes with each of `PERIPHERAL_SIGNS`, 0..1, none where it is
            left out; each is drawn on its own and changes nothing else.

    Returns:
        Cases, patient by patient, right eye before left.

    Raises:
        ConfigurationError: a count out of range, no hospital, or rows that are not one per eye.
    """
    if patients < 1 or images_per_patient < 1 or not hospitals:
        raise ConfigurationError(
            f"{patients} patients, {images_per_patient} images each, {len(hospitals)} hospitals; "
            "give at least one of each"
        )
    eyes: tuple[Eye, ...] = ("OD",) if images_per_patient == 1 else ("OD", "OS")
    label_sets = _label_sets(mix, patients, eyes, seed)
    shares = np.array([h.share for h in hospitals]) / sum(h.share for h in hospitals)
    cases: list[PhantomCase] = []
    for index in range(patients):
        rng = stream(seed, "patient", index)
        patient_seed = int(rng.integers(0, 2**63 - 1))
        place = hospitals[int(rng.choice(len(hospitals), p=shares))]
        shared = rng.uniform(size=len(SIGNS))
        for number, eye in enumerate(eyes):
            labels = label_sets[index * len(eyes) + number]
            own = stream(seed, "eye", index, number)
            severity = _severity(own, labels, shared)
            peripheral = tuple(
                sign
                for sign in PERIPHERAL_SIGNS
                if own.uniform() < peripheral_shares.get(sign, 0.0)
            )
            confusers = _confusers(own, labels)
            count = (images_per_patient + (1 - number)) // 2 if len(eyes) == 2 else 1
            for image in range(count):
                border: BorderKind = "black" if rng.uniform() < place.black_share else "device"
                cases.append(
                    PhantomCase(
                        patient=first_patient + index,
                        seed=patient_seed,
                        eye=eye,
                        image=image,
                        hospital=place,
                        border=border,
                        labels=labels,
                        severity=severity,
                        peripheral=peripheral,
                        confusers=confusers,
                    )
                )
    return tuple(cases)


def _label_sets(
    mix: Mix | Sequence[Sequence[int]], patients: int, eyes: tuple[Eye, ...], seed: int
) -> list[tuple[str, str]]:
    if not isinstance(mix, Mix):
        if len(mix) != patients * len(eyes):
            raise ConfigurationError(
                f"{len(mix)} label rows for {patients} patients of {len(eyes)} eyes; give "
                f"{patients * len(eyes)}, one per eye"
            )
        return [_set_of(row) for row in mix]
    rng = stream(seed, "label sets")
    first, second = mix.deal(rng, patients), mix.deal(rng, patients)
    if len(eyes) == 1:
        return first
    agrees = rng.uniform(size=patients) < FELLOW_AGREES
    pairs = zip(first, second, agrees, strict=True)
    return [labels for a, b, same in pairs for labels in (a, a if same else b)]


def _set_of(row: Sequence[int]) -> tuple[str, str]:
    if len(row) != len(SIGNS) or any(value not in (0, 1) for value in row):
        raise ConfigurationError(
            f"label row {tuple(row)}; give {len(SIGNS)} zeros and ones in the order "
            f"{' '.join(SIGNS)}"
        )
    names = [name for name, value in zip(SIGNS, row, strict=True) if value]
    if len(names) != 2 or (names[0] in GRADE_SIGNS) or (names[1] not in GRADE_SIGNS):
        raise ConfigurationError(
            f"label row {tuple(row)} means {names}; it needs one of NoPS/PS and one grade"
        )
    return names[0], names[1]


def _severity(
    rng: np.random.Generator, labels: tuple[str, str], shared: np.ndarray
) -> tuple[float, ...]:
    # A fellow eye is as bad as the first one in two of five patients: correlated, yet each eye's
    # severity stays uniform.
    own = rng.uniform(size=len(SIGNS))
    drawn = shared if rng.uniform() < 0.4 else own
    span = 1.0 - MINIMUM_SEVERITY
    return tuple(
        round(MINIMUM_SEVERITY + span * float(drawn[k]), 4) if name in labels else 0.0
        for k, name in enumerate(SIGNS)
    )


def _confusers(rng: np.random.Generator, labels: tuple[str, str]) -> tuple[str, ...]:
    found = [name for name, share in _CONFUSER_SHARE.items() if rng.uniform() < share]
    if rng.uniform() < _ARC_SHADOW_SHARE and "NoPS" in labels:
        found.append("arc_shadow")
    return tuple(found)
