"""Losses, mixing and operating points where labels are unknown: laws, and subsets as oracles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from realmnet_runtime.errors import UsageError
from realmnet_training.config import BatchMixConfig
from realmnet_training.losses import (
    asymmetric_loss,
    binary_cross_entropy,
    focal_loss,
    known_targets,
    two_way_loss,
)
from realmnet_training.measuring.operating_points import fit_temperatures, fit_thresholds
from realmnet_training.pictures.augment import mix_batch

Loss = Callable[..., Tensor]
CELLWISE: dict[str, Loss] = {
    "bce": binary_cross_entropy,
    "alpha": lambda x, t, **mask: binary_cross_entropy(x, t, alpha=0.75, **mask),
    "focal": lambda x, t, **mask: focal_loss(x, t, 2.0, 0.25, **mask),
    "asymmetric": asymmetric_loss,
    "margin": lambda x, t, **mask: asymmetric_loss(x, t, 1.0, 2.0, 0.05, **mask),
    "log": lambda x, t, **mask: asymmetric_loss(x, t, soft_form="log", **mask),
}
LOSSES = CELLWISE | {
    "two_way": lambda x, t, **mask: two_way_loss(x, t, 1.0, 1.0, **mask),
    "two_way_sharp": lambda x, t, **mask: two_way_loss(x, t, 0.5, 4.0, **mask),
}
SEEDS = st.integers(0, 2**32 - 1)


def batch(seed: int, share: float = 0.6) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (6, 5) with confident mistakes, hard and soft targets, and which are known."""
    random = np.random.default_rng(seed)
    logits = random.normal(0.0, 12.0, (6, 5))
    targets = random.choice([0.0, 1.0, 0.35], (6, 5))
    known = random.random((6, 5)) < share
    return torch.from_numpy(logits), torch.from_numpy(targets), torch.from_numpy(known)


def measure(loss: Loss, logits: Tensor, targets: Tensor, **mask: Tensor) -> tuple[Tensor, Tensor]:
    logits = logits.clone().requires_grad_()
    value = loss(logits, targets, **mask)
    return value.detach(), torch.autograd.grad(value, logits)[0]


@pytest.mark.parametrize("name", LOSSES)
@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_with_every_label_known_the_loss_is_the_plain_one(name: str, seed: int) -> None:
    logits, targets, known = batch(seed)
    plain = measure(LOSSES[name], logits, targets)
    masked = measure(LOSSES[name], logits, targets, known=torch.ones_like(known))
    assert torch.equal(plain[0], masked[0])
    assert torch.equal(plain[1], masked[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", LOSSES)
@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_what_lies_under_the_mask_changes_nothing_and_learns_nothing(
    name: str, dtype: torch.dtype, seed: int
) -> None:
    logits, targets, known = batch(seed)
    logits, targets = logits.to(dtype), targets.to(dtype)
    # a wholly unknown image and a wholly unknown label
    known[0], known[:, 1] = False, False
    value, slope = measure(LOSSES[name], logits, targets, known=known)
    assert torch.isfinite(value)
    assert torch.isfinite(slope).all()
    assert (slope[~known] == 0.0).all()
    for nothing in (float("nan"), 1.0):
        other = measure(
            LOSSES[name],
            torch.where(known, logits, 7.0 * nothing),
            torch.where(known, targets, nothing),
            known=known,
        )
        assert torch.equal(other[0], value)
        assert torch.equal(other[1], slope)


@pytest.mark.parametrize("name", CELLWISE)
@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_the_loss_is_the_sum_over_known_cells_divided_by_the_images(name: str, seed: int) -> None:
    logits, targets, known = batch(seed)
    value, _ = measure(CELLWISE[name], logits, targets, known=known)
    # one cell is a batch of one image with one label
    cells = [
        CELLWISE[name](x.view(1, 1), t.view(1, 1))
        for x, t in zip(logits[known], targets[known], strict=True)
    ]
    expected = torch.stack(cells).sum() / 6 if cells else torch.tensor(0.0, dtype=torch.float64)
    torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_unknown_cells_are_in_neither_set_of_the_two_way_loss(seed: int) -> None:
    logits, targets, known = batch(seed)
    known[:] = True
    known[:, 3], known[2] = False, False
    value, slope = measure(LOSSES["two_way"], logits, targets, known=known)
    rows, labels = [0, 1, 3, 4, 5], [0, 1, 2, 4]
    place = np.ix_(rows, labels)
    alone, its_slope = measure(LOSSES["two_way"], logits[place], targets[place])
    torch.testing.assert_close(value, alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(slope[place], its_slope, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_which_nothing_is_known_costs_nothing(name: str) -> None:
    logits, targets, known = batch(0, share=0.0)
    value, slope = measure(LOSSES[name], logits, targets, known=known)
    assert value.item() == 0.0
    assert (slope == 0.0).all()


@settings(deadline=None)
@given(SEEDS, st.sampled_from(["mixup", "cutmix"]))
def test_a_label_that_either_image_leaves_unknown_is_unknown_in_the_mix(
    seed: int, kind: str
) -> None:
    count = 6
    images = np.zeros((count, 3, 8, 8), np.float32)
    whole = np.random.default_rng(seed).integers(0, 2, (count, 4)).astype(np.float32)
    given = whole.copy()
    given[1, 2] = given[4, 0] = np.nan
    config = BatchMixConfig(**{kind: 1.0})
    # the identity as targets tells the share of each image
    _, shares = mix_batch(images, np.eye(count, dtype=np.float32), config, of(seed))
    _, soft = mix_batch(images, whole, config, of(seed))
    targets, known = known_targets(torch.from_numpy(mix_batch(images, given, config, of(seed))[1]))
    np.testing.assert_array_equal(np.where(known, soft, 0.0), targets)
    unknown = np.isnan(given)
    assert not known.numpy()[unknown | ((shares > 0).astype(int) @ unknown > 0)].any()
    # each of the two unknown labels reaches its own image and the one that it is mixed into
    assert (~known).sum() <= 4


def of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def points(seed: int) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (60, 3)).astype(np.uint8)
    logits = random.normal(labels * 2.0 - 1.0, 1.5)
    known = random.random((60, 3)) < 0.6
    labels[:2], known[:2] = [[0] * 3, [1] * 3], True
    return logits, labels, known


def test_operating_points_are_fitted_on_the_images_that_state_a_label() -> None:
    logits, labels, known = points(0)
    temperatures = fit_temperatures(logits, labels, known=known)
    probabilities = 1.0 / (1.0 + np.exp(-logits))
    thresholds = fit_thresholds(probabilities, labels, known=known)
    for label, rows in enumerate(known.T):
        part = np.ix_(rows, [label])
        assert temperatures[label] == pytest.approx(fit_temperatures(logits[part], labels[part])[0])
        assert thresholds[label] == fit_thresholds(probabilities[part], labels[part])[0]
    every = np.ones_like(known)
    np.testing.assert_array_equal(
        fit_temperatures(logits, labels, known=every), fit_temperatures(logits, labels)
    )
    with pytest.raises(UsageError, match="labels' shape"):
        fit_thresholds(probabilities, labels, known=known[:, :2])
