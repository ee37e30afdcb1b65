from __future__ import annotations

from itertools import chain, combinations
from typing import Any

import msgspec
import pytest

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LABEL_SETS, PERIPHERAL, PSMM, Label, LabelSet

ALL_SUBSETS = list(chain.from_iterable(combinations(PSMM.names, size) for size in range(8)))

# Reading by hand. Staphyloma by which of (NoPS, PS) were found:
STAPHYLOMA = {(False, True): True, (True, False): False, (True, True): None, (False, False): None}
# META-PM grade by the five lesion labels in rising order; every other pattern has no grade.
GRADE = {
    (True, False, False, False, False): 0,
    (False, True, False, False, False): 1,
    (False, False, True, False, False): 2,
    (False, False, False, True, False): 3,
    (False, False, False, False, True): 4,
}
# Pathologic myopia is "grade 2 or more, or staphyloma" where an undecided half may be either.
PATHOLOGIC = {
    (None, None): None, (0, None): None, (1, None): None, (2, None): True, (3, None): True,
    (4, None): True, (None, False): None, (0, False): False, (1, False): False, (2, False): True,
    (3, False): True, (4, False): True, (None, True): True, (0, True): True, (1, True): True,
    (2, True): True, (3, True): True, (4, True): True,
}  # fmt: skip


@pytest.mark.parametrize("findings", ALL_SUBSETS, ids="+".join)
def test_reading_of_every_set_of_findings(findings: tuple[str, ...]) -> None:
    sides = ("NoPS" in findings, "PS" in findings)
    lesions = tuple(name in findings for name in ("NoMRL", "TFO", "DCA", "PCA", "MA"))
    staphyloma, grade = STAPHYLOMA[sides], GRADE.get(lesions)  # type: ignore[arg-type]
    reading = PSMM.read(reversed(findings))
    assert reading.staphyloma is staphyloma
    assert reading.grade == grade
    assert reading.pathologic_myopia is PATHOLOGIC[grade, staphyloma]
    assert len(reading.inconsistencies) == (sides.count(True) != 1) + (lesions.count(True) != 1)
    for line in reading.inconsistencies:
        group = ("NoPS", "PS") if "NoPS, PS" in line else ("NoMRL", "TFO", "DCA", "PCA", "MA")
        found = [name for name in group if name in findings]
        assert line.startswith(" and ".join(found) if found else "none of")


def test_every_subset_is_there() -> None:
    assert len(set(map(frozenset, ALL_SUBSETS))) == 128


def test_label_sets_of_the_paper() -> None:
    assert PSMM.codes == ("S0", "S1", "A0", "A1", "A2", "A3", "A4")
    assert PSMM.names == ("NoPS", "PS", "NoMRL", "TFO", "DCA", "PCA", "MA")
    assert PERIPHERAL.codes == ("P0", "P1", "P2", "P3", "P4")
    assert PERIPHERAL.names == ("NoPL", "LDoCRT", "HoT", "RRD", "PC")
    assert (len(PSMM), len(PERIPHERAL)) == (7, 5)
    assert LABEL_SETS == {"psmm": PSMM, "peripheral": PERIPHERAL}


@pytest.mark.parametrize("findings", [(), ("NoPL",), ("HoT", "RRD"), PERIPHERAL.names])
def test_peripheral_labels_may_co_occur_and_say_nothing_of_the_macula(
    findings: tuple[str, ...],
) -> None:
    reading = PERIPHERAL.read(findings)
    assert (reading.grade, reading.staphyloma, reading.pathologic_myopia) == (None, None, None)
    assert reading.inconsistencies == ()


def test_position_of_each_label() -> None:
    assert [PSMM.index(name) for name in PSMM.names] == list(range(7))
    with pytest.raises(ConfigurationError, match=r"has no label 'PSS'.*did you mean 'PS'\?"):
        PSMM.index("PSS")
    with pytest.raises(ConfigurationError, match="has no label 'HoT'"):
        PSMM.read(["NoPS", "HoT"])


@pytest.mark.parametrize("label_set", LABEL_SETS.values(), ids=LABEL_SETS)
def test_label_sets_survive_json(label_set: LabelSet) -> None:
    assert msgspec.json.decode(msgspec.json.encode(label_set), type=LabelSet) == label_set


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": ()}, "has no labels"),
        ({"labels": (Label("a", "x", ""), Label("b", "x", ""))}, "name 'x' twice"),
        ({"labels": (Label("a", "x", ""), Label("a", "y", ""))}, "code 'a' twice"),
        ({"labels": (Label("a", " ", ""),)}, "without a name"),
        ({"labels": (Label("", "x", ""),)}, "without a code"),
        ({"exclusive_groups": (("NoPS", "PSS"),)}, "did you mean 'PS'"),
        ({"exclusive_groups": (("NoPS", "PS"), ("PS", "TFO"))}, "two exclusive groups"),
        ({"exclusive_groups": (("NoPS", "NoPS"),)}, "two exclusive groups"),
        ({"exclusive_groups": (("NoPS",),)}, "fewer than two"),
        ({"exclusive_groups": ()}, "not one of its exclusive groups"),
        ({"grades": ("NoMRL", "TFO")}, "not one of its exclusive groups"),
        ({"grades": ("NoMRL", "TFO", "DCA", "PCA", "MA", "MA")}, "not one of its exclusive"),
        ({"grades": ("NoMRL", "TFO", "DCA", "PCA", "MB")}, "speaks of 'MB'"),
        ({"staphyloma": "staphyloma"}, "speaks of 'staphyloma'"),
    ],
)
def test_impossible_label_sets_do_not_exist(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        msgspec.structs.replace(PSMM, **change)
