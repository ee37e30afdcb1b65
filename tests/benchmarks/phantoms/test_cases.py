from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from realmnet_benchmarks.phantoms import CONFUSERS, PERIPHERAL_SIGNS, SIGNS, Hospital, PhantomCase
from realmnet_benchmarks.phantoms.anatomy import LESIONS
from realmnet_benchmarks.phantoms.cases import GRADE_SIGNS, STAPHYLOMA_SIGNS
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import PERIPHERAL, PSMM

Make = Callable[..., PhantomCase]


def test_signs_are_those_of_the_runtime() -> None:
    assert PSMM.names == SIGNS
    assert PSMM.exclusive_groups == (STAPHYLOMA_SIGNS, GRADE_SIGNS)
    assert set(PERIPHERAL_SIGNS) == set(PERIPHERAL.names) - {"NoPL"}
    assert set(LESIONS) == {*SIGNS, *PERIPHERAL_SIGNS} - {"NoPS", "NoMRL"}
    assert len(LESIONS) <= 16  # bits of the truth of an eye's sheet
    assert not set(CONFUSERS) & set(LESIONS)


def test_a_case_knows_its_names(make: Make) -> None:
    case = make(("PS", "MA"), 0.5, patient=123, eye="OS", image=1)
    assert case.row == (0, 1, 0, 0, 0, 0, 1)
    assert case.stem == "PhantomA-0000123_OS_2000-01-01_2"
    assert case.identity == case.stem.split("_", maxsplit=1)[0]
    assert case.strength("MA") == 0.5
    assert case.strength("PCA") == 0.0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"labels": ("NoPS", "PS")}, "exactly one"),
        ({"labels": ("NoPS", "glaucoma")}, "glaucoma"),
        ({"labels": ("NoPS",)}, "exactly one"),
        ({"severity": (0.0,) * 6}, "6 severities"),
        ({"severity": (0.0,) * 7}, "severity 0.0 of 'NoPS'"),
        ({"severity": (0.6, 0.0, 0.0, 1.01, 0.0, 0.0, 0.0)}, "1.01"),
        ({"severity": (0.6, 0.5, 0.0, 0.6, 0.0, 0.0, 0.0)}, "0.5 of 'PS'"),
        ({"severity": (0.6, 0.0, 0.0, float("nan"), 0.0, 0.0, 0.0)}, "nan"),
        ({"eye": "OU"}, "OU"),
        ({"border": "white"}, "white"),
        ({"seed": -1}, "seed -1"),
        ({"patient": 10_000_000}, "10000000"),
        ({"peripheral": ("NoPL",)}, "NoPL"),
        ({"confusers": ("ghost",)}, "ghost"),
    ],
)
def test_an_impossible_case_is_refused(make: Make, fields: dict, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        make(**fields)


@pytest.mark.parametrize(
    "fields", [{"name": "St. Mary"}, {"blue": 11.0}, {"share": 0.0}, {"jpeg_quality": 20}]
)
def test_an_impossible_hospital_is_refused(fields: dict) -> None:
    with pytest.raises(ConfigurationError):
        dataclasses.replace(Hospital("PhantomZ", 1.0, 0.5), **fields)
