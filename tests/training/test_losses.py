"""The loss family against worked float64 vectors, and its laws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.losses import (
    asymmetric_loss,
    binary_cross_entropy,
    focal_loss,
    two_way_loss,
)

Reader = Callable[[str], dict[str, Any]]
EXACT: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-12}


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def gradient(loss: Tensor, logits: Tensor) -> Tensor:
    return torch.autograd.grad(loss, logits)[0]


def test_asymmetric_loss_gives_the_worked_values_and_gradients(vectors: Reader) -> None:
    worked = vectors("asymmetric_loss")
    targets, soft = tensor(worked["targets"]), tensor(worked["soft_targets"])
    for case in worked["cases"]:
        logits = tensor(worked["logits"]).requires_grad_()
        options = {name: case[name] for name in ("gamma_pos", "gamma_neg", "clip")}
        hard = asymmetric_loss(logits, targets, **options)
        torch.testing.assert_close(
            hard, tensor(case["realmnet_sum_over_batchsize_hard"]), rtol=1e-6, atol=0.0
        )
        torch.testing.assert_close(
            gradient(hard, logits),
            tensor(case["realmnet_grad_hard_sum_over_batchsize"]),
            rtol=1e-5,
            atol=1e-7,
        )
        torch.testing.assert_close(
            asymmetric_loss(logits, soft, **options),
            tensor(case["realmnet_sum_over_batchsize_soft"]),
            rtol=1e-6,
            atol=0.0,
        )
        torch.testing.assert_close(
            asymmetric_loss(logits, soft, **options, soft_form="log") * len(logits),
            tensor(case["alibaba_sum_soft"]),
            rtol=1e-6,
            atol=0.0,
        )


def test_two_way_loss_gives_the_worked_values_and_gradients(vectors: Reader) -> None:
    worked = vectors("two_way_loss")
    targets, soft = tensor(worked["targets"]), tensor(worked["soft_targets"])
    for case in worked["cases"]:
        logits = tensor(worked["logits"]).requires_grad_()
        total = two_way_loss(logits, targets, case["Tp"], case["Tn"])
        torch.testing.assert_close(total, tensor(case["total_hard"]), **EXACT)
        torch.testing.assert_close(
            gradient(total, logits), tensor(case["grad_total_hard"]), rtol=1e-6, atol=1e-12
        )
        torch.testing.assert_close(
            two_way_loss(logits, soft, case["Tp"], case["Tn"]), tensor(case["total_soft"]), **EXACT
        )
    edge = worked["edge"]
    for case in edge["cases"]:
        total = two_way_loss(
            tensor(edge["logits"]), tensor(edge["targets"]), case["Tp"], case["Tn"]
        )
        torch.testing.assert_close(total, tensor(case["total"]), **EXACT)


def test_binary_cross_entropy_is_torchs_summed_over_the_batch_size() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, generator=generator, dtype=torch.float64) * 4
    targets = torch.rand(5, 7, generator=generator, dtype=torch.float64)
    expected = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / 5
    torch.testing.assert_close(binary_cross_entropy(logits, targets), expected, **EXACT)


def test_focal_loss_is_torchvisions_summed_over_the_batch_size() -> None:
    ops = pytest.importorskip("torchvision.ops")
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(5, 7, generator=generator, dtype=torch.float64) * 4
    targets = (torch.rand(5, 7, generator=generator) < 0.3).double()
    for gamma, alpha in ((2.0, 0.75), (1.0, 0.25), (0.0, 0.5)):
        expected = ops.sigmoid_focal_loss(logits, targets, alpha, gamma, reduction="sum") / 5
        torch.testing.assert_close(focal_loss(logits, targets, gamma, alpha), expected, **EXACT)


@settings(deadline=None)
@given(
    logit=st.floats(-60, 60),
    target=st.sampled_from([0.0, 1.0, 0.35]),
    gamma_pos=st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    gamma_neg=st.sampled_from([0.0, 0.5, 1.0, 4.0]),
    clip=st.sampled_from([0.0, 0.05]),
)
def test_float32_losses_and_gradients_stay_finite_at_confident_mistakes(
    logit: float, target: float, gamma_pos: float, gamma_neg: float, clip: float
) -> None:
    logits = torch.tensor([[logit]], requires_grad=True)
    loss = asymmetric_loss(logits, torch.tensor([[target]]), gamma_pos, gamma_neg, clip)
    assert torch.isfinite(loss)
    assert loss >= 0
    assert torch.isfinite(gradient(loss, logits)).all()


def test_a_batch_without_any_positive_costs_nothing_in_the_two_way_loss() -> None:
    logits = torch.randn(3, 2, requires_grad=True)
    loss = two_way_loss(logits, torch.zeros(3, 2), 1.0, 1.0)
    assert loss.item() == 0.0
    assert gradient(loss, logits).abs().max() == 0.0


def test_impossible_options_are_refused() -> None:
    logits = torch.zeros(1, 1)
    with pytest.raises(ConfigurationError, match="alpha"):
        binary_cross_entropy(logits, logits, alpha=1.5)
    with pytest.raises(ConfigurationError, match="temperatures"):
        two_way_loss(logits, logits, 0.0, 1.0)
