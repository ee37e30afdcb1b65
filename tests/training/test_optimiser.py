"""Exclusions from weight decay, and the schedule's shape."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_training.config import (
    AsymmetricConfig,
    BceConfig,
    FocalConfig,
    LossConfig,
    Stage,
    TwoWayConfig,
)
from realmnet_training.fitting.optimiser import (
    build_loss,
    build_optimiser,
    build_schedule,
    lr_share,
)
from realmnet_training.losses import (
    asymmetric_loss,
    binary_cross_entropy,
    focal_loss,
    two_way_loss,
)
from realmnet_training.model import RealMNet


def test_only_parameters_of_two_or_more_dimensions_decay() -> None:
    model = RealMNet("5m", image=64)
    optimiser = build_optimiser(model, lr=1e-3, weight_decay=0.05)
    decay = {id(p): g["weight_decay"] for g in optimiser.param_groups for p in g["params"]}
    assert len(decay) == sum(1 for _ in model.parameters())
    for name, parameter in model.named_parameters():
        expected = 0.0 if parameter.ndim <= 1 else 0.05
        assert decay[id(parameter)] == expected, name
        if name.endswith("attention_biases"):
            assert decay[id(parameter)] == 0.05


@settings(deadline=None)
@given(st.integers(2, 500), st.floats(0.0, 0.9))
def test_schedule_rises_from_one_percent_to_the_top_and_falls_to_the_end(
    steps: int, warm_up: float
) -> None:
    stage = Stage(image=64, epochs=1, batch=1, lr=1e-3, lr_end=1e-5, warm_up=warm_up)
    shares = [lr_share(step, stage, steps) for step in range(steps)]
    rising = round(warm_up * steps)
    assert max(shares) == pytest.approx(1.0) or rising >= steps
    assert shares[: rising + 1] == sorted(shares[: rising + 1])
    assert shares[rising:] == sorted(shares[rising:], reverse=True)
    if rising > 0:
        assert shares[0] == pytest.approx(0.01)
    if steps - rising > 1:
        assert shares[-1] == pytest.approx(stage.lr_end / stage.lr)


def test_the_schedule_drives_the_optimiser() -> None:
    stage = Stage(image=64, epochs=1, batch=1, lr=0.2, lr_end=0.02, warm_up=0.5)
    optimiser = build_optimiser(torch.nn.Linear(2, 2), lr=stage.lr, weight_decay=0.0)
    schedule = build_schedule(optimiser, stage, steps=4)
    rates = []
    for _ in range(4):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([0.002, 0.101, 0.2, 0.02])


def test_configured_losses_are_the_functions_with_their_options() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.eye(4, 3)
    cases: list[tuple[LossConfig, torch.Tensor]] = [
        (AsymmetricConfig(1.0, 2.0, 0.05), asymmetric_loss(logits, targets, 1.0, 2.0, 0.05)),
        (BceConfig(alpha=0.75), binary_cross_entropy(logits, targets, 0.75)),
        (FocalConfig(gamma=1.5, alpha=0.6), focal_loss(logits, targets, 1.5, 0.6)),
        (TwoWayConfig(4.0, 0.5), two_way_loss(logits, targets, 4.0, 0.5)),
    ]
    for config, expected in cases:
        torch.testing.assert_close(build_loss(config)(logits, targets), expected)
