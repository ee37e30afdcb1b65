"""Losses of distillation against other implementations, and the laws they keep."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, rel_entr
from torch import Tensor
from torch.nn import functional

from realmnet_compression.distillation.losses import (
    distillation_loss,
    score_map_loss,
    soft_label_loss,
)
from realmnet_compression.distillation.settings import DistilSettings
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.losses import asymmetric_loss

SEEDS = st.integers(0, 2**32 - 1)
TEMPERATURES = st.sampled_from([0.5, 1.0, 2.0, 4.0])


def answers(seed: int, count: int = 5) -> tuple[Tensor, Tensor]:
    """Logits (N, 7) of two models, confident mistakes among them; float64."""
    random = np.random.default_rng(seed)
    return tuple(torch.from_numpy(random.normal(0.0, 6.0, (count, 7))) for _ in range(2))  # type: ignore[return-value]


def maps(seed: int, side: int = 4) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    return tuple(torch.from_numpy(random.normal(0.0, 2.0, (3, 7, side, side))) for _ in range(2))  # type: ignore[return-value]


def gradient(value: Tensor, of: Tensor) -> Tensor:
    return torch.autograd.grad(value, of)[0]


@settings(max_examples=15)
@given(SEEDS, TEMPERATURES)
def test_soft_labels_cost_the_divergence_of_both_answers(seed: int, temperature: float) -> None:
    student, teacher = answers(seed)
    p, q = expit(teacher.numpy() / temperature), expit(student.numpy() / temperature)
    not_p, not_q = expit(-teacher.numpy() / temperature), expit(-student.numpy() / temperature)
    expected = temperature**2 * (rel_entr(p, q) + rel_entr(not_p, not_q)).sum() / 5
    assert float(soft_label_loss(student, teacher, temperature)) == pytest.approx(
        expected, rel=1e-9
    )


@settings(max_examples=15)
@given(SEEDS, TEMPERATURES)
def test_their_gradient_is_that_of_cross_entropy(seed: int, temperature: float) -> None:
    student, teacher = answers(seed)
    student.requires_grad_()
    entropy = functional.binary_cross_entropy_with_logits(
        student / temperature, torch.sigmoid(teacher / temperature), reduction="sum"
    )
    torch.testing.assert_close(
        gradient(soft_label_loss(student, teacher, temperature), student),
        gradient(temperature**2 * entropy / 5, student),
        rtol=1e-9,
        atol=1e-9,
    )


@settings(max_examples=15)
@given(SEEDS, TEMPERATURES)
def test_equal_answers_cost_nothing_and_others_something(seed: int, temperature: float) -> None:
    student, teacher = answers(seed)
    assert float(soft_label_loss(teacher, teacher, temperature)) == 0.0
    assert float(soft_label_loss(student, teacher, temperature)) > 0.0
    extreme = soft_label_loss(torch.tensor([[900.0]]), torch.tensor([[-900.0]]), temperature)
    assert torch.isfinite(extreme)


@settings(max_examples=15)
@given(SEEDS)
def test_answers_that_were_not_kept_cost_nothing(seed: int) -> None:
    student, teacher = answers(seed)
    kept = torch.from_numpy(np.random.default_rng(seed).random((5, 7)) < 0.5)
    student.requires_grad_()
    loss = soft_label_loss(student, torch.where(kept, teacher, torch.nan), 2.0)
    alone = sum(
        soft_label_loss(ours[None, None], theirs[None, None], 2.0).item()
        for ours, theirs in zip(student[kept], teacher[kept], strict=True)
    )
    assert loss.item() == pytest.approx(alone / 5, rel=1e-9, abs=1e-9)
    assert (gradient(loss, student)[~kept] == 0.0).all()


@settings(max_examples=15)
@given(SEEDS, st.floats(0.5, 50.0), st.floats(-20.0, 20.0))
def test_score_maps_cost_what_their_correlation_lacks(
    seed: int, factor: float, shift: float
) -> None:
    student, teacher = maps(seed)
    r = [
        [
            np.corrcoef(ours.ravel(), theirs.ravel())[0, 1]
            for ours, theirs in zip(*image, strict=True)
        ]
        for image in zip(student.numpy(), teacher.numpy(), strict=True)
    ]
    expected = float((2.0 * (1.0 - np.array(r))).sum() / 3)
    assert float(score_map_loss(student, teacher)) == pytest.approx(expected, rel=1e-4)
    assert float(score_map_loss(student * factor + shift, teacher)) == pytest.approx(
        expected, rel=1e-3
    )
    assert float(score_map_loss(teacher * factor + shift, teacher)) == pytest.approx(0, abs=1e-4)


def test_a_teachers_grid_is_resized_bilinearly() -> None:
    student, _ = maps(1, side=6)
    _, coarse = maps(2, side=3)
    finer = [
        [cv2.resize(each, (6, 6), interpolation=cv2.INTER_LINEAR) for each in image]
        for image in coarse.numpy()
    ]
    expected = score_map_loss(student, torch.from_numpy(np.array(finer)))
    torch.testing.assert_close(score_map_loss(student, coarse), expected, rtol=1e-5, atol=0)


def test_flat_maps_have_a_finite_gradient() -> None:
    flat = torch.zeros(3, 7, 3, 3, requires_grad=True)
    loss = score_map_loss(flat, maps(3, side=3)[1])
    assert torch.isfinite(gradient(loss, flat)).all()


def test_the_parts_are_mixed_by_their_weights_and_unknown_labels_stay_unknown() -> None:
    student, teacher = answers(4, count=3)
    student_maps, teacher_maps = maps(4)
    targets = torch.tensor([[1.0, 0.0, 0.3, torch.nan, 0.0, 1.0, torch.nan]]).repeat(3, 1).double()
    known = ~torch.isnan(targets)
    weights = DistilSettings(temperature=3.0, soft=0.7, maps=0.2, truth=0.4)
    expected = (
        0.7 * soft_label_loss(student, teacher, 3.0)
        + 0.2 * score_map_loss(student_maps, teacher_maps)
        + 0.4 * asymmetric_loss(student, targets.nan_to_num(), known=known)
    )
    found = distillation_loss(
        student, student_maps, teacher, teacher_maps, targets, weights, truth=asymmetric_loss
    )
    torch.testing.assert_close(found, expected)

    student.requires_grad_()
    labels_alone = DistilSettings(soft=0.0, maps=0.0, truth=1.0)
    loss = distillation_loss(student, student_maps, teacher, None, targets, labels_alone)
    assert (gradient(loss, student)[~known] == 0.0).all()
    with pytest.raises(ConfigurationError, match="no score maps; give maps 0"):
        distillation_loss(student, student_maps, teacher, None, targets, weights)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperature": 0.0}, "temperature 0.0 must be a number above 0"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"soft": -1.0}, "weight soft -1.0 must be a number from 0 up"),
        ({"maps": float("inf")}, "weight maps inf"),
        ({"soft": 0.0, "maps": 0.0, "truth": 0.0}, "at least one weight above 0"),
        ({"from_stage": 0}, "stages count from 1"),
        ({"from_stage": 2, "truth": 0.0}, "would learn nothing"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        DistilSettings(**values)  # type: ignore[arg-type]


def test_a_first_stage_that_a_preset_has_not_is_refused() -> None:
    DistilSettings(from_stage=3).require_stages(3)
    with pytest.raises(ConfigurationError, match="from_stage 4 of a preset with 3 stages"):
        DistilSettings(from_stage=4).require_stages(3)
