"""The paper's studies as data: which factors vary, and which cells a whole study has.

Planned are the levels that are on record; where the paper varies a factor and its levels are not,
the factor is not planned. Whatever else was run is shown as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from realmnet_benchmarks.score_facts import Level


@dataclass(frozen=True)
class StudyPlan:
    """One study.

    Attributes:
        title: of its table.
        factors: name to planned levels; the cells are all their combinations.
        note: what must be known to read it.
        published_for: levels of the cell that `published.Peripheral` is about; empty for none.
    """

    title: str
    factors: Mapping[str, tuple[Level, ...]]
    note: str = ""
    published_for: Mapping[str, Level] = field(default_factory=dict)

    @property
    def cells(self) -> tuple[Mapping[str, Level], ...]:
        """Levels by factor of every planned cell."""
        return tuple(
            dict(zip(self.factors, levels, strict=True))
            for levels in itertools.product(*self.factors.values())
        )


_SEARCH: Final = "The paper ran this with a linear head on pooled features and plain BCE."

STUDY_PLANS: Final[dict[str, StudyPlan]] = {
    "label-efficiency": StudyPlan(
        "Label efficiency: share of the training images",
        {"image": (224, 384, 512), "share": (0.2, 0.5, 0.9, 1.0)},
    ),
    "freezing": StudyPlan(
        "Freezing of the first stages",
        {},
    ),
    "augmentation": StudyPlan(
        "Augmentation",
        {"augmentation": ("full", "no simulated", "no batch-wise", "none")},
        _SEARCH,
    ),
    "drop-path": StudyPlan(
        "Drop path",
        {"drop path": (0.0, 0.5)},
        _SEARCH,
    ),
    "resolution": StudyPlan("Resolution", {"image": (224, 384, 512)}),
    "resampling": StudyPlan(
        "Resampling by method and ratio",
        {
            "method": (
                "none",
                "lp-ros",
                "lp-rus",
                "ml-ros",
                "ml-rus",
                "remedial",
                "remedial-hwr",
            )
        },
    ),
    "pre-training": StudyPlan("Pre-training", {"pre-trained": ("yes", "no")}),
    "loss": StudyPlan(
        "Losses",
        {"loss": ("bce", "alpha-balanced", "focal", "asymmetric")},
        "Best alpha 0.75; final choice asymmetric, gamma+ 3, gamma- 4, margin 0.",
    ),
    "two-way-loss": StudyPlan(
        "Two-way loss by its temperatures",
        {"t_pos": (0.5, 1, 2, 4), "t_neg": (0.5, 1, 2, 4)},
        "With both directions, by class and by sample; the paper prints one.",
    ),
    "boundary": StudyPlan(
        "Pictures with and without the device boundary",
        {"boundary": ("with", "without")},
        "In the paper, training on pictures without the boundary changed almost nothing.",
    ),
    "peripheral": StudyPlan(
        "Peripheral lesions, transferred",
        {"start": ("psmm",)},
        "The peripheral labels are not public.",
        {"start": "psmm"},
    ),
}
