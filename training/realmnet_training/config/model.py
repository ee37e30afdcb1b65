"""Which network is trained, and from which weights."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.config.numbers import NotNegative, Share
from realmnet_training.model import HeadKind
from realmnet_training.networks.backbone import Size
from realmnet_training.networks.baselines import BaselineName
from realmnet_training.networks.csra import TEMPERATURES


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network; see `RealMNet` and `Baseline`.

    Attributes:
        network: `realmnet`, or one of the comparison's, which have one image size and a linear
            head; `size`, `head`, `heads` and `lam` are RealMNet's alone.
        pretrained: timm tag or local file for the backbone; None starts at random.
        backbone: checkpoint of `realmnet train` whose backbone is the start, whatever its labels:
            transfer to another label set.
        keep_head: whether that checkpoint's head is the start too; its labels must be the preset's.
        third_window: attention window of RealMNet's stage 3, tokens; 0 is the whole grid. 12 at
            384 px makes 21m slimmer.
    """

    network: Literal["realmnet", BaselineName] = "realmnet"
    size: Size = "21m"
    head: HeadKind = "csra"
    heads: int = 2
    lam: NotNegative = 1.2
    drop_path: Share = 0.5
    pretrained: str | None = None
    backbone: str | None = None
    keep_head: bool = False
    third_window: Annotated[int, Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        if self.pretrained is not None and self.backbone is not None:
            raise ConfigurationError(
                "model.pretrained and model.backbone both name weights to start from; give one"
            )
        if self.network != "realmnet" and self.backbone is not None:
            raise ConfigurationError(
                f"model.backbone is RealMNet's; '{self.network}' starts from model.pretrained"
            )
        if self.keep_head and self.backbone is None:
            raise ConfigurationError(
                "model.keep_head keeps the head of a checkpoint; name it in model.backbone"
            )
        if self.network != "realmnet" and self.third_window:
            raise ConfigurationError(
                f"model.third_window is RealMNet's; '{self.network}' has windows of its own"
            )
        if self.heads not in TEMPERATURES:
            raise ConfigurationError(
                f"model.heads = {self.heads}; the CSRA head takes "
                f"{', '.join(map(str, TEMPERATURES))}"
            )
