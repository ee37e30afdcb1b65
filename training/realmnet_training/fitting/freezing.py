"""Keeping the first stages of a backbone as they started (paper, study of transfer)."""

from __future__ import annotations

from torch import nn

from realmnet_training.model import RealMNet
from realmnet_training.networks.architectures import Network


def frozen_parts(model: Network, stages: int) -> list[nn.Module]:
    """The patch embedding and the first stages; nothing for 0 stages.

    Args:
        model: a RealMNet where `stages` is above 0; presets refuse others.
        stages: 0 to 4.
    """
    if stages == 0 or not isinstance(model, RealMNet):
        return []
    return [model.backbone.patch_embed, *list(model.backbone.stages)[:stages]]


def freeze(model: Network, stages: int) -> None:
    """Take the parts out of training; `hold_still` keeps their statistics."""
    for part in frozen_parts(model, stages):
        part.requires_grad_(False)


def hold_still(model: Network, stages: int) -> None:
    """Put the parts into evaluation mode: batch statistics and stochastic depth rest."""
    for part in frozen_parts(model, stages):
        part.eval()
