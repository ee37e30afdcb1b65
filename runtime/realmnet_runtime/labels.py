"""What the network answers: label sets, their exclusive groups and the clinical reading.

The seven PSMM labels are two choices written as seven sigmoids: with or without posterior
staphyloma (S), and one of five META-PM grades (A). In the released tables every image has exactly
one of each group (RealMNet, npj Digital Medicine 2025, Methods). The five peripheral labels are
the paper's transfer task and may co-occur.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.suggestions import nearest


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer of the network: table column, name and plain meaning."""

    code: str
    name: str
    meaning: str


class Reading(msgspec.Struct, frozen=True):
    """The META-PM reading of a set of findings.

    Attributes:
        grade: META-PM grade 0..4, or None where the grade group is inconsistent or absent.
        staphyloma: posterior staphyloma, or None where its group is inconsistent or absent.
        pathologic_myopia: grade 2 or more, or staphyloma; None where neither group decides it.
        inconsistencies: one line for each exclusive group in which not exactly one label was
            found. Nothing is repaired: the findings stay the thresholds'.
    """

    grade: int | None
    staphyloma: bool | None
    pathologic_myopia: bool | None
    inconsistencies: tuple[str, ...]


class LabelSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The labels of one model, in the order of its outputs.

    Attributes:
        name: identifier of the set, `psmm` or `peripheral` for the two of the paper.
        labels: in output order.
        exclusive_groups: names that exclude each other, exactly one of which an image should have.
        grades: names in rising META-PM grade, together one of the exclusive groups; empty where
            the set holds no grades.
        staphyloma: name that says posterior staphyloma, or None where the set does not say.
    """

    name: str
    labels: tuple[Label, ...]
    exclusive_groups: tuple[tuple[str, ...], ...] = ()
    grades: tuple[str, ...] = ()
    staphyloma: str | None = None

    def __post_init__(self) -> None:
        names = [label.name for label in self.labels]
        codes = [label.code for label in self.labels]
        if not names:
            raise ConfigurationError(f"label set '{self.name}' has no labels; it needs one or more")
        for kind, values in (("name", names), ("code", codes)):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ConfigurationError(
                    f"label set '{self.name}' uses the {kind} '{twice[0]}' twice; make each unique"
                )
            if not all(value.strip() for value in values):
                raise ConfigurationError(
                    f"label set '{self.name}' has a label without a {kind}; give each label one"
                )
        self._check_groups(names)

    def _check_groups(self, names: list[str]) -> None:
        used = [name for group in self.exclusive_groups for name in group]
        spoken_of = [*used, *self.grades, *([self.staphyloma] if self.staphyloma else [])]
        for name in spoken_of:
            if name not in names:
                raise ConfigurationError(
                    f"label set '{self.name}' speaks of '{name}', which is not one of its labels"
                    f"{nearest(name, names)}"
                )
        if len(set(used)) != len(used):
            raise ConfigurationError(
                f"label set '{self.name}' puts one label in two exclusive groups; a label has one"
            )
        if any(len(group) < 2 for group in self.exclusive_groups):
            raise ConfigurationError(
                f"label set '{self.name}' has an exclusive group of fewer than two labels; drop it"
            )
        # Two grades that may co-occur would have no single grade to read.
        if self.grades and sorted(self.grades) not in map(sorted, self.exclusive_groups):
            raise ConfigurationError(
                f"label set '{self.name}' has the grades {', '.join(self.grades)}, which are not "
                f"one of its exclusive groups; list them as one"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in output order."""
        return tuple(label.name for label in self.labels)

    @property
    def codes(self) -> tuple[str, ...]:
        """Column names of the released tables, in output order."""
        return tuple(label.code for label in self.labels)

    def index(self, name: str) -> int:
        """Position of a label in the model's output.

        Raises:
            ConfigurationError: the set has no such label.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise ConfigurationError(
                f"label set '{self.name}' has no label '{name}'; it has {', '.join(self.names)}"
                f"{nearest(name, self.names)}"
            ) from None

    def read(self, findings: Iterable[str]) -> Reading:
        """Read findings clinically, reporting groups that do not have exactly one finding.

        Args:
            findings: names of the labels at or above their thresholds.

        Returns:
            The META-PM reading; pathologic myopia is grade >= 2 or staphyloma (paper, Methods).
        """
        found = set(findings)
        for name in found:
            self.index(name)
        inconsistencies = []
        undecided: set[str] = set()
        for group in self.exclusive_groups:
            present = [name for name in group if name in found]
            if len(present) != 1:
                undecided.update(group)
                inconsistencies.append(
                    f"{' and '.join(present) if present else 'none'} of the exclusive labels "
                    f"{', '.join(group)} at or above threshold; exactly one is expected"
                )
        grades = [i for i, name in enumerate(self.grades) if name in found]
        grade = grades[0] if grades and undecided.isdisjoint(self.grades) else None
        staphyloma: bool | None = None
        if self.staphyloma is not None and self.staphyloma not in undecided:
            staphyloma = self.staphyloma in found
        return Reading(
            grade=grade,
            staphyloma=staphyloma,
            pathologic_myopia=_pathologic_myopia(grade, staphyloma),
            inconsistencies=tuple(inconsistencies),
        )


def _pathologic_myopia(grade: int | None, staphyloma: bool | None) -> bool | None:
    if staphyloma or (grade is not None and grade >= 2):
        return True
    if staphyloma is None or grade is None:
        return None
    return False


PSMM: Final = LabelSet(
    name="psmm",
    labels=(
        Label("S0", "NoPS", "no posterior staphyloma"),
        Label("S1", "PS", "posterior staphyloma"),
        Label("A0", "NoMRL", "no myopic retinal lesion (META-PM grade 0)"),
        Label("A1", "TFO", "tessellated fundus only (META-PM grade 1)"),
        Label("A2", "DCA", "diffuse chorioretinal atrophy (META-PM grade 2)"),
        Label("A3", "PCA", "patchy chorioretinal atrophy (META-PM grade 3)"),
        Label("A4", "MA", "macular atrophy (META-PM grade 4)"),
    ),
    exclusive_groups=(("NoPS", "PS"), ("NoMRL", "TFO", "DCA", "PCA", "MA")),
    grades=("NoMRL", "TFO", "DCA", "PCA", "MA"),
    staphyloma="PS",
)

PERIPHERAL: Final = LabelSet(
    name="peripheral",
    labels=(
        Label("P0", "NoPL", "no peripheral lesion"),
        Label("P1", "LDoCRT", "lattice degeneration or cystic retinal tuft"),
        Label("P2", "HoT", "hole or tear"),
        Label("P3", "RRD", "rhegmatogenous retinal detachment"),
        Label("P4", "PC", "postoperative case"),
    ),
)

LABEL_SETS: Final = {label_set.name: label_set for label_set in (PSMM, PERIPHERAL)}
