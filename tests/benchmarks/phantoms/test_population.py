from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_benchmarks.phantoms import (
    BALANCED,
    HOSPITALS,
    LABEL_COUNTS,
    NATURAL,
    SIGNS,
    Mix,
    draw_population,
)
from realmnet_runtime.errors import ConfigurationError

TABLES = Path(__file__).parents[4] / "shared" / "reference" / "psmm"


def test_label_counts_are_those_of_the_released_tables() -> None:
    tables = [TABLES / f"{name}.csv" for name in ("train", "val", "test")]
    if not all(table.exists() for table in tables):
        pytest.skip("the released label tables are not beside the repository")
    found: Counter[tuple[str, ...]] = Counter()
    for table in tables:
        with table.open(newline="") as lines:
            for row in csv.DictReader(lines):
                cells = [row[code] for code in ("S0", "S1", "A0", "A1", "A2", "A3", "A4")]
                found[tuple(n for n, c in zip(SIGNS, cells, strict=True) if float(c) == 1)] += 1
    assert found == LABEL_COUNTS
    assert sum(LABEL_COUNTS.values()) == 43_371


@pytest.mark.parametrize("mix", [NATURAL, BALANCED])
def test_label_sets_follow_the_mix(mix: Mix) -> None:
    cases = draw_population(4_000, seed=3, mix=mix, images_per_patient=2)
    found = Counter(case.labels for case in cases)
    expected = np.array(mix.weights) / sum(mix.weights)
    for labels, share in zip(mix.sets, expected, strict=True):
        # Both eyes of a patient agree in 75 %: at most 8,000 draws, at least 4,000.
        margin = 4 * np.sqrt(share * (1 - share) / 4_000)
        assert abs(found[labels] / len(cases) - share) < margin
    assert set(found) <= set(LABEL_COUNTS)


def test_eyes_own_their_labels_and_fellows_correlate() -> None:
    cases = draw_population(1_500, seed=1, mix=BALANCED, images_per_patient=4)
    of_eye: dict[tuple[int, str], set] = {}
    for case in cases:
        key = (case.patient, case.eye)
        of_eye.setdefault(key, set()).add((case.labels, case.severity, case.confusers))
    assert all(len(facts) == 1 for facts in of_eye.values())
    same = np.mean(
        [
            next(iter(of_eye[p, "OD"]))[0] == next(iter(of_eye[p, "OS"]))[0]
            for p in {case.patient for case in cases}
        ]
    )
    assert 0.72 < same < 0.85  # 75 % agree by design, an eighth of the others by chance


def test_severity_is_uniform() -> None:
    cases = draw_population(3_000, seed=5, mix=BALANCED, images_per_patient=1)
    values = np.array([max(case.severity[2:]) for case in cases])
    deciles, _ = np.histogram(values, bins=10, range=(0.05, 1.0))
    assert values.min() >= 0.05
    assert np.all(np.abs(deciles - 300) < 5 * np.sqrt(300))


def test_hospitals_follow_their_shares_and_borders() -> None:
    cases = draw_population(3_000, seed=6)
    patients = Counter({c.patient: c.hospital.name for c in cases}.values())
    for place in HOSPITALS:
        share = place.share / sum(other.share for other in HOSPITALS)
        assert abs(patients[place.name] / 3_000 - share) < 0.04
        black = [c.border == "black" for c in cases if c.hospital is place]
        assert abs(np.mean(black) - place.black_share) < 0.07
    assert sum(place.held_out for place in HOSPITALS) == 1
    assert len(HOSPITALS) >= 5


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**40), st.integers(1, 7))
def test_a_population_is_its_arguments(patients: int, seed: int, images: int) -> None:
    cases = draw_population(patients, seed, BALANCED, images_per_patient=images)
    assert cases == draw_population(patients, seed, BALANCED, images_per_patient=images)
    assert len(cases) == patients * images
    assert len({case.stem for case in cases}) == len(cases)
    per_eye = Counter((case.patient, case.eye) for case in cases)
    assert max(per_eye.values()) - min(per_eye.values()) <= 1


def test_rows_are_taken_eye_by_eye() -> None:
    rows = [(1, 0, 0, 1, 0, 0, 0), (0, 1, 0, 0, 0, 0, 1), (1, 0, 1, 0, 0, 0, 0)] * 2
    cases = draw_population(3, seed=2, mix=rows, images_per_patient=2)
    assert [case.row for case in cases] == rows


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"patients": 0}, "at least one"),
        ({"hospitals": ()}, "at least one"),
        ({"images_per_patient": 0}, "at least one"),
        ({"mix": [(1, 0, 0, 1, 0, 0, 0)]}, "one per eye"),
        ({"mix": [(1, 0, 0, 1, 0, 0, 0), (1, 1, 0, 0, 0, 0, 0)]}, "one grade"),
        ({"mix": [(1, 0, 0, 1, 0, 0, 0), (1, 0, 2, 0, 0, 0, 0)]}, "zeros and ones"),
    ],
)
def test_an_impossible_population_is_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        draw_population(**({"patients": 1, "seed": 0} | arguments))


def test_a_mix_needs_one_weight_per_set() -> None:
    with pytest.raises(ConfigurationError, match="one weight"):
        Mix("odd", (("NoPS", "TFO"),), (1.0, 2.0))
