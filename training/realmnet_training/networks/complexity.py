"""Parameters and multiply-accumulates of a network, beside those the paper's Table 4 prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final

import timm
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from realmnet_training.model import RealMNet
from realmnet_training.networks.baselines import BASELINES

IMAGENET_CLASSES: Final = 1000
NORM_OPERATIONS: Final = 5
"""Operations that the paper's tool adds for each element a norm passes on."""

_NORMS: Final = (nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)
_ATTENTION: Final = ("bmm", "attention")


@dataclasses.dataclass(frozen=True)
class Complexity:
    """Size and work of a network for one image.

    Attributes:
        parameters: numbers that are learnt.
        macs: multiply-accumulates of convolutions, linear layers and attention products.
        attention_macs: those of `macs` that are products of two activations: queries with keys,
            weights with values. A count by modules misses them where attention is fused.
        normalised: elements that pass a norm; not part of `macs`.
    """

    parameters: int
    macs: int
    attention_macs: int
    normalised: int


def measure_complexity(model: nn.Module, image: int) -> Complexity:
    """Count a network's parameters and multiply-accumulates for one (1, 3, image, image) input.

    Nothing is computed: weights and input are replaced by shapes (torch's meta device), on which
    fused attention falls apart into the products it stands for. The model is left as it was.

    Args:
        model: any network of one image batch, on any device; building it under
            `torch.device("meta")` saves its memory.
        image: side of the input, pixels.
    """
    shapes = {
        name: value.to("meta")
        for values in (model.named_parameters(), model.named_buffers())
        for name, value in values
    }
    modes = [(module, module.training) for module in model.modules()]
    normalised: list[int] = []
    hooks = [
        module.register_forward_hook(_count_into(normalised))
        for module in model.modules()
        if isinstance(module, _NORMS)
    ]
    try:
        model.eval()
        with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
            functional_call(model, shapes, (torch.zeros(1, 3, image, image),))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    by_operator = {
        str(name): count // 2 for name, count in counter.get_flop_counts()["Global"].items()
    }
    return Complexity(
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        macs=sum(by_operator.values()),
        attention_macs=sum(
            count for name, count in by_operator.items() if any(part in name for part in _ATTENTION)
        ),
        normalised=sum(normalised),
    )


def _count_into(total: list[int]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def count(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        total.append(output.numel())

    return count


@dataclasses.dataclass(frozen=True)
class TableRow:
    """One line of Table 4: what the paper prints and what is counted here.

    Attributes:
        name: of the network in the paper.
        image: side of its input, pixels.
        published_parameters_m: millions.
        published_gmacs: thousand millions; the paper calls them FLOPs.
        counted: of the same network with ImageNet's 1000 classes, as the paper counted.
    """

    name: str
    image: int
    published_parameters_m: float
    published_gmacs: float
    counted: Complexity


class _ImageNetClassifier(nn.Module):
    """A RealMNet as it was pre-trained: one answer for the picture, no score maps."""

    def __init__(self, network: RealMNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.network.tokens(images).mean(dim=(2, 3), keepdim=True)
        normalised: Tensor = self.network.backbone.head.norm(pooled)
        return functional.linear(normalised.flatten(1), *self.network.head.parameters())


_REALMNETS: Final = (("RealMNet", 384, 21.23, 13.85), ("RealMNet-Max", 512, 21.27, 27.15))


def table_4() -> tuple[TableRow, ...]:
    """Count the networks of the paper's Table 4, each with a head of 1000 classes.

    Parameters agree to the printed digit; with seven labels a RealMNet has 20,661,552 at 384 px
    and 20,699,184 at 512. Published operations are multiply-accumulates plus `NORM_OPERATIONS` for
    each normalised element. EfficientNet's also count the pooling of its squeeze-and-excitation,
    and Swin's leave the products of attention out.
    """
    rows = []
    with torch.device("meta"):
        for baseline in BASELINES.values():
            network: nn.Module = timm.create_model(
                baseline.architecture, num_classes=IMAGENET_CLASSES
            )
            rows.append(
                TableRow(
                    baseline.title,
                    baseline.image,
                    baseline.published_parameters_m,
                    baseline.published_gmacs,
                    measure_complexity(network, baseline.image),
                )
            )
        for title, image, parameters_m, gmacs in _REALMNETS:
            network = _ImageNetClassifier(RealMNet("21m", image, IMAGENET_CLASSES, head="linear"))
            rows.append(
                TableRow(title, image, parameters_m, gmacs, measure_complexity(network, image))
            )
    return tuple(rows)
