"""Everything that can be trained: RealMNet and the networks the paper compares it with."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import msgspec

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.model import HeadKind, RealMNet
from realmnet_training.networks.backbone import Size
from realmnet_training.networks.baselines import Baseline, BaselineName

Network: TypeAlias = RealMNet | Baseline
"""Both map (N, 3, image, image) to logits (N, labels) and score maps (N, labels, h, w)."""


class Architecture(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="network",
    tag="realmnet",
):
    """Arguments from which `RealMNet` is built again."""

    size: Size
    image: int
    labels: int
    heads: int
    lam: float
    head: HeadKind = "csra"
    third_window: int = 0

    def build(self, *, pretrained: str | Path | None = None, drop_path: float = 0.0) -> RealMNet:
        """The network with fresh or pre-trained weights; errors as `RealMNet`."""
        return RealMNet(
            self.size,
            self.image,
            self.labels,
            self.heads,
            self.lam,
            pretrained=pretrained,
            drop_path=drop_path,
            head=self.head,
            third_window=self.third_window,
        )


class BaselineArchitecture(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="network",
    tag="baseline",
):
    """Arguments from which a `Baseline` is built again."""

    name: BaselineName
    labels: int

    def build(self, *, pretrained: str | Path | None = None, drop_path: float = 0.0) -> Baseline:
        """The network with fresh or pre-trained weights; errors as `Baseline`."""
        return Baseline(self.name, self.labels, pretrained=pretrained, drop_path=drop_path)


AnyArchitecture: TypeAlias = Architecture | BaselineArchitecture


def architecture_of(model: Network) -> AnyArchitecture:
    """The arguments from which a network can be built again."""
    if isinstance(model, Baseline):
        return BaselineArchitecture(name=model.name, labels=model.labels)
    return Architecture(
        size=model.size,
        image=model.image,
        labels=model.labels,
        heads=model.heads,
        lam=model.lam,
        head=model.head_kind,
        third_window=model.third_window,
    )


def require_realmnet(model: Network, purpose: str) -> RealMNet:
    """The network, where it is a RealMNet.

    Raises:
        ConfigurationError: it is one of the comparison's.
    """
    if isinstance(model, Baseline):
        raise ConfigurationError(
            f"the checkpoint holds the baseline '{model.name}'; {purpose} takes a RealMNet"
        )
    return model
