"""RealMNet: TinyViT, the final norm over an unpooled map, and class-specific residual attention."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import torch
from torch import Tensor, nn

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.networks.backbone import Size, build_backbone
from realmnet_training.networks.csra import CsraHead
from realmnet_training.networks.linear_head import LinearHead
from realmnet_training.networks.position_bias import resize_position_biases
from realmnet_training.networks.pretrained import load_pretrained

__all__ = ["HEADS", "CsraHead", "HeadKind", "LinearHead", "RealMNet"]

HeadKind = Literal["csra", "linear"]
HEADS: Final[tuple[HeadKind, ...]] = ("csra", "linear")


class RealMNet(nn.Module):
    """The multi-label network of the paper (npj Digital Medicine 2025, Methods).

    Inputs are (N, 3, image, image) float32 RGB in [0, 1]: mean 0, standard deviation 1, not
    ImageNet's. 21m has 20,661,552 parameters at 384 px and 20,699,184 at 512 px with 7 labels.

    Args:
        size: 5m, 11m or 21m.
        image: side of the input, pixels; the paper uses 224, 384 and 512.
        labels: number of labels.
        heads: heads of the CSRA head, 1, 2, 4, 6 or 8.
        lam: weight of the attention term of the head.
        pretrained: timm tag or local file for the backbone; None starts at random.
        drop_path: stochastic depth of the last block; the paper trains with 0.5.
        head: `csra`, or `linear` for pooled features and one layer, with which the paper searched
            its hyper-parameters; `heads` and `lam` then mean nothing.
        third_window: attention window of stage 3, tokens; 0 is the whole grid, as in the paper. A
            smaller one must tile the grid: 12 at 384 px makes 21m slimmer, with 20,630,448
            parameters and a quarter of stage 3's products of tokens with tokens.

    Raises:
        ConfigurationError: an impossible size, image, window or head, or weights of another model.
        MissingPath: pre-trained weights that are not there, with the way to get them offline.
    """

    def __init__(  # noqa: PLR0917 - the public signature
        self,
        size: Size = "21m",
        image: int = 384,
        labels: int = 7,
        heads: int = 2,
        lam: float = 1.2,
        pretrained: str | Path | None = None,
        drop_path: float = 0.0,
        head: HeadKind = "csra",
        third_window: int = 0,
    ) -> None:
        super().__init__()
        if head not in HEADS:
            raise ConfigurationError(f"model head '{head}'; RealMNet has {', '.join(HEADS)}")
        self.size: Size = size
        self.image = image
        self.labels = labels
        self.heads = heads
        self.lam = lam
        self.third_window = third_window
        self.backbone = build_backbone(size, image, drop_path, third_window)
        channels = self.backbone.num_features
        self.head: CsraHead | LinearHead = (
            CsraHead(channels, labels, heads, lam)
            if head == "csra"
            else LinearHead(channels, labels)
        )
        if pretrained is not None:
            load_pretrained(self.backbone, size, image, pretrained, crop_third=third_window > 0)

    @property
    def head_kind(self) -> HeadKind:
        """Which head the model has."""
        return "linear" if isinstance(self.head, LinearHead) else "csra"

    @property
    def csra_head(self) -> CsraHead:
        """The CSRA head, for what reads its maps.

        Raises:
            ConfigurationError: the model has a linear head.
        """
        if isinstance(self.head, LinearHead):
            raise ConfigurationError(
                "this RealMNet has a linear head on pooled features; explanations are read off the "
                "maps of a CSRA head: train with model.head=csra"
            )
        return self.head

    def features(self, images: Tensor) -> Tensor:
        """Map (N, 3, image, image) to the normalised (N, channels, image / 32, image / 32)."""
        normalised: Tensor = self.backbone.head.norm(self.tokens(images))
        return normalised

    def tokens(self, images: Tensor) -> Tensor:
        """Map (N, 3, image, image) to the same as `features`, before the final norm."""
        if not torch.onnx.is_in_onnx_export() and images.shape[-2:] != (self.image, self.image):
            raise ConfigurationError(
                f"input of {tuple(images.shape[-2:])} px; this model takes {self.image} x "
                f"{self.image}: build it for the other size and use `load_resized`"
            )
        tokens: Tensor = self.backbone.stages(self.backbone.patch_embed(images))
        return tokens

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Answer a batch.

        Args:
            images: (N, 3, image, image) float32 RGB in [0, 1].

        Returns:
            Logits (N, labels) and score maps (N, labels, h, w) with h = w = image / 32 rounded up.
        """
        if isinstance(self.head, LinearHead):
            logits, maps = self.head(self.tokens(images), self.backbone.head.norm)
        else:
            logits, maps = self.head(self.features(images))
        return logits, maps

    def load_resized(self, state: Mapping[str, Tensor]) -> None:
        """Load weights trained at any image size; position-bias tables are resized bicubically.

        Those of a stage 3 with a smaller window of its own are cropped instead, so that weights of
        an original keep the bias of every offset that is left.

        Raises:
            ConfigurationError: weights of another model.
        """
        resized = resize_position_biases(state, self.state_dict(), crop_third=self.third_window > 0)
        try:
            self.load_state_dict(resized)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise ConfigurationError(
                f"the weights are not those of a RealMNet {self.size} with {self.labels} labels: "
                f"{first}"
            ) from error
