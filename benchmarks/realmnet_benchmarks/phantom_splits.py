"""Splits of a synthetic data set: no patient in two, and a hospital only the test sets have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from realmnet_benchmarks.phantoms import (
    BALANCED,
    FREQUENT_PERIPHERAL_SHARES,
    HOSPITALS,
    NATURAL,
    PERIPHERAL_SHARES,
    Hospital,
    Mix,
    PhantomCase,
    draw_population,
)
from realmnet_runtime.errors import UsageError

MixName = Literal["balanced", "natural"]
LabelsName = Literal["psmm", "peripheral"]

MIXES: Final[dict[str, Mix]] = {"balanced": BALANCED, "natural": NATURAL}
MOST_PATIENTS: Final = 500_000
"""Patients of one split; file names number them with seven digits."""

_RANGE: Final = 1_000_000


@dataclass(frozen=True)
class SplitPlan:
    """How many synthetic patients each split gets; four pictures each make ~13,400 by default.

    With the defaults every label has more than 100 positive test pictures of more than 50 eyes.

    Attributes:
        train: patients of the training table.
        dev: patients of `val`.
        test: patients of `test`.
        natural: patients of `test_natural`, which always has the natural mix; 0 leaves it out.
        second: patients of `test_second`, drawn as `test` is from patients of its own; 0, as usual,
            leaves it out.
        unseen_share: share of all test sets' patients at the hospital no other split has, 0..1.
        mix: of the labels in train, val and test.
        images_per_patient: pictures, shared between both eyes.
        seed: of everything drawn, 0 or more.
        labels: which the tables will hold; with `peripheral` a balanced mix gives each sign of the
            periphery to three eyes of ten, a natural one to the few it has as a distraction.
    """

    train: int = 2_000
    dev: int = 375
    test: int = 600
    natural: int = 375
    second: int = 0
    unseen_share: float = 0.25
    mix: MixName = "balanced"
    images_per_patient: int = 4
    seed: int = 42
    labels: LabelsName = "psmm"

    def __post_init__(self) -> None:
        for name in ("train", "dev", "test", "natural", "second"):
            count = getattr(self, name)
            if not 0 <= count <= MOST_PATIENTS:
                raise UsageError(f"{count} patients for {name}; expected 0 to {MOST_PATIENTS:,}")
        if self.train + self.dev + self.test + self.natural + self.second == 0:
            raise UsageError("no patient in any split; give at least one split a patient")
        if not 0 <= self.unseen_share <= 1:
            raise UsageError(f"unseen share {self.unseen_share}; expected a fraction in 0..1")
        if self.mix not in MIXES:
            raise UsageError(f"mix '{self.mix}'; choose from {', '.join(MIXES)}")
        if self.images_per_patient < 1 or self.seed < 0:
            raise UsageError(
                f"{self.images_per_patient} pictures a patient with seed {self.seed}; expected at "
                "least 1 picture and a seed of 0 or more"
            )


def draw_splits(plan: SplitPlan) -> dict[str, tuple[PhantomCase, ...]]:
    """Draw every split of a plan.

    Each split has seeds and patient numbers of its own, so that changing the size of one leaves
    the others as they are.

    Returns:
        `train`, `val`, `test`, `test_natural` and `test_second`, without those that have no
        patient.
    """
    seen = tuple(place for place in HOSPITALS if not place.held_out)
    unseen = tuple(place for place in HOSPITALS if place.held_out)
    mix = MIXES[plan.mix]
    splits: dict[str, tuple[PhantomCase, ...]] = {
        "train": _draw(plan, 0, plan.train, mix, seen),
        "val": _draw(plan, 1, plan.dev, mix, seen),
    }
    for name, first, patients, labels in (
        ("test", 2, plan.test, mix),
        ("test_natural", 4, plan.natural, NATURAL),
        ("test_second", 6, plan.second, mix),
    ):
        elsewhere = round(patients * plan.unseen_share)
        splits[name] = (
            *_draw(plan, first, patients - elsewhere, labels, seen),
            *_draw(plan, first + 1, elsewhere, labels, unseen),
        )
    return {name: cases for name, cases in splits.items() if cases}


def _draw(
    plan: SplitPlan, number: int, patients: int, mix: Mix, places: tuple[Hospital, ...]
) -> tuple[PhantomCase, ...]:
    """One group of patients; `number` gives it a seed and a range of patient numbers."""
    if not patients:
        return ()
    frequent = plan.labels == "peripheral" and mix is BALANCED
    return draw_population(
        patients,
        int(np.random.SeedSequence((plan.seed, number)).generate_state(1)[0]),
        mix,
        places,
        images_per_patient=plan.images_per_patient,
        first_patient=number * _RANGE,
        peripheral_shares=FREQUENT_PERIPHERAL_SHARES if frequent else PERIPHERAL_SHARES,
    )
