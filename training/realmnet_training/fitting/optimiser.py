"""Loss, AdamW with the paper's exclusions, and the schedule by step."""

from __future__ import annotations

import math
from functools import partial
from typing import Protocol

from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from realmnet_training.config import (
    AsymmetricConfig,
    BceConfig,
    FocalConfig,
    LossConfig,
    Stage,
)
from realmnet_training.losses import (
    asymmetric_loss,
    binary_cross_entropy,
    focal_loss,
    two_way_loss,
)


class Loss(Protocol):
    """A loss with its options: of logits (N, L), targets (N, L) and which of them are known."""

    def __call__(self, logits: Tensor, targets: Tensor, *, known: Tensor | None = None) -> Tensor:
        """Return the scalar loss."""
        ...


_FIRST_SHARE = 0.01


def build_loss(config: LossConfig) -> Loss:
    """Return the loss of a stage."""
    if isinstance(config, AsymmetricConfig):
        return partial(
            asymmetric_loss,
            gamma_pos=config.gamma_pos,
            gamma_neg=config.gamma_neg,
            clip=config.clip,
            soft_form=config.soft_form,
        )
    if isinstance(config, BceConfig):
        return partial(binary_cross_entropy, alpha=config.alpha)
    if isinstance(config, FocalConfig):
        return partial(focal_loss, gamma=config.gamma, alpha=config.alpha)
    return partial(two_way_loss, t_pos=config.t_pos, t_neg=config.t_neg)


def build_optimiser(model: nn.Module, lr: float, weight_decay: float) -> AdamW:
    """AdamW, betas 0.9 and 0.999, eps 1e-8, without decay of one-dimensional parameters.

    Norms and biases are one-dimensional; position-bias tables are two-dimensional and decay, as in
    the released code.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=lr,
        betas=(0.9, 0.999),
        eps=1e-8,
    )


def build_schedule(optimiser: AdamW, stage: Stage, steps: int) -> LambdaLR:
    """Linear warm-up by step from 1 % of the learning rate, then cosine to `lr_end`."""
    return LambdaLR(optimiser, partial(lr_share, stage=stage, steps=steps))


def lr_share(step: int, stage: Stage, steps: int) -> float:
    """Learning rate at a step (from 0) as a share of the stage's highest.

    By epoch, the cosine stands still inside an epoch and would reach `lr_end` in the one after the
    last, as the paper's code has it.
    """
    rising = round(stage.warm_up * steps)
    if step < rising:
        return _FIRST_SHARE + (1.0 - _FIRST_SHARE) * step / rising
    if stage.cosine_by == "step":
        fallen = (step - rising) / max(1, steps - 1 - rising)
    else:
        steps_an_epoch = max(1, steps // stage.epochs)
        whole = (step - rising) // steps_an_epoch * steps_an_epoch
        fallen = whole / max(1, steps - rising)
    end = stage.lr_end / stage.lr
    return end + (1.0 - end) * (1.0 + math.cos(math.pi * min(1.0, fallen))) / 2.0
