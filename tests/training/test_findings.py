"""Which findings are looked at, and the figures over all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.explanation.explain import Agreement, explain_square
from realmnet_training.explanation.findings import (
    OUTCOMES,
    answer_table,
    choose_findings,
    fixed_shares,
    outcomes_of,
    summarise_agreement,
)
from realmnet_training.measuring.evaluation import compute_logits
from realmnet_training.measuring.operating_points import probabilities_of
from realmnet_training.model import RealMNet
from realmnet_training.pictures.prepared import prepare_split

pytestmark = pytest.mark.usefixtures("one_thread")


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_most_confident_of_each_outcome_are_chosen_in_a_fixed_order(
    seed: int, per_label: int
) -> None:
    random = np.random.default_rng(seed)
    # two decimals make ties
    probabilities = random.random((30, 3)).round(2)
    truth = random.integers(0, 2, (30, 3))
    thresholds = random.random(3)
    chosen = choose_findings(truth, probabilities, thresholds, per_label)
    assert chosen == choose_findings(truth, probabilities, thresholds, per_label)
    places = [(f.label, OUTCOMES.index(f.outcome)) for f in chosen]
    assert places == sorted(places)
    for label in range(3):
        for outcome, mask in outcomes_of(truth, probabilities, thresholds).items():
            mine = [f.row for f in chosen if (f.label, f.outcome) == (label, outcome)]
            rows = np.flatnonzero(mask[:, label]).tolist()
            sign = 1 if outcome == "false negative" else -1
            ranked = sorted(rows, key=lambda row: (sign * probabilities[row, label], row))
            assert mine == ranked[:per_label]


def test_outcomes_are_every_cell_but_the_true_negatives_once() -> None:
    random = np.random.default_rng(0)
    truth, probabilities = random.integers(0, 2, (40, 4)), random.random((40, 4))
    masks = outcomes_of(truth, probabilities, np.full(4, 0.5))
    counted = sum(mask.astype(int) for mask in masks.values())
    np.testing.assert_array_equal(counted, (truth > 0) | (probabilities >= 0.5))


def test_a_table_is_answered_as_evaluation_answers_it_and_every_finding_is_compared(
    phantom_data: Path, tmp_path: Path
) -> None:
    pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")
    torch.manual_seed(0)
    model, spec = RealMNet("5m", image=64).eval(), PreprocessSpec(size=64)
    prepared = prepare_split(read_psmm(phantom_data)["test"], spec, tmp_path, workers=1)
    point = np.linspace(0.5, 2.0, 7), np.full(7, 0.5)
    told: list[tuple[int, int]] = []
    answers = answer_table(
        model,
        prepared,
        spec,
        point,
        lambda done, total: told.append((done, total)),
        compare=True,
        batch=5,
    )
    expected = probabilities_of(compute_logits(model, prepared, spec), point[0])
    np.testing.assert_allclose(answers.probabilities, expected, atol=1e-5)
    assert told == [(5, 8), (8, 8)]
    reported = (answers.probabilities >= 0.5).sum(axis=0)
    assert [len(label) for label in answers.agreements] == reported.tolist()
    maps = np.stack(
        [
            explain_square(model, np.asarray(square), spec, range(7), ["csra"])["csra"]
            for square in prepared.pictures[:8]
        ]
    )
    np.testing.assert_allclose(answers.fixed_shares, fixed_shares(maps), atol=1e-3)


def test_maps_that_never_change_are_all_fixed_and_independent_ones_hardly() -> None:
    random = np.random.default_rng(0)
    one = random.normal(size=(1, 1, 6, 6)).astype(np.float32)
    same = np.repeat(one, 50, axis=0) + random.normal(size=(50, 1, 1, 1)).astype(np.float32)
    assert fixed_shares(same)[0] == pytest.approx(1.0, abs=1e-6)
    independent = random.normal(size=(200, 2, 6, 6)).astype(np.float32)
    np.testing.assert_allclose(fixed_shares(independent), 1 / 200, atol=0.004)
    assert fixed_shares(np.ones((4, 1, 3, 3), np.float32)).tolist() == [0.0]


def test_a_summary_leaves_constant_maps_out_of_its_figures() -> None:
    found = summarise_agreement(
        [Agreement(0.2, 0.0), Agreement(0.8, 0.5), Agreement(0.4, 0.25), Agreement(None, None)]
    )
    assert (found.findings, found.undefined) == (4, 1)
    assert found.rank_correlation_median == pytest.approx(0.4)
    assert found.rank_correlation_p10 == pytest.approx(0.24)
    assert found.peak_distance_median == pytest.approx(0.25)
    assert found.same_peak == pytest.approx(1 / 3)
    nothing = summarise_agreement([Agreement(None, None)])
    assert (nothing.findings, nothing.undefined, nothing.same_peak) == (1, 1, None)
