"""The networks the paper compares RealMNet with: timm backbones under a pooled linear head."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import timm
from torch import Tensor, nn

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.suggestions import nearest
from realmnet_training.networks.linear_head import LinearHead
from realmnet_training.networks.pretrained import read_weights

Layout = Literal["channels first", "channels last", "tokens"]
BaselineName = Literal["deit_b", "convnext_t", "efficientnet_b4", "swin_b"]


@dataclasses.dataclass(frozen=True)
class BaselineSpec:
    """One network of the comparison (paper, Table 4; released configurations).

    Attributes:
        title: as the paper prints it.
        architecture: timm's name.
        tag: of the ImageNet weights that the released configuration starts from.
        image: side of the input, pixels.
        layout: of timm's features.
        lr: highest learning rate.
        published_parameters_m: of Table 4, millions.
        published_gmacs: of Table 4, thousand millions.
    """

    title: str
    architecture: str
    tag: str
    image: int
    layout: Layout
    lr: float
    published_parameters_m: float
    published_gmacs: float

    @property
    def weights(self) -> str:
        """Timm's name of the ImageNet weights."""
        return f"{self.architecture}.{self.tag}"


BASELINES: Final[dict[BaselineName, BaselineSpec]] = {
    "deit_b": BaselineSpec(
        "DeiT-B", "deit_base_distilled_patch16_384", "fb_in1k", 384, "tokens", 1e-4, 87.63, 55.65
    ),
    "convnext_t": BaselineSpec(
        "ConvNeXt-T",
        "convnext_tiny",
        "fb_in22k_ft_in1k_384",
        384,
        "channels first",
        1e-4,
        28.59,
        13.14,
    ),
    "efficientnet_b4": BaselineSpec(
        "EfficientNet-B4", "tf_efficientnet_b4", "in1k", 380, "channels first", 5e-5, 19.34, 4.66
    ),
    "swin_b": BaselineSpec(
        "Swin-B",
        "swin_base_patch4_window12_384",
        "ms_in22k_ft_in1k",
        384,
        "channels last",
        1e-4,
        87.90,
        44.49,
    ),
}


class Baseline(nn.Module):
    """A backbone of the comparison under a linear head on its pooled features.

    Inputs are as RealMNet's, (N, 3, image, image) float32 RGB in [0, 1], and so are the answers.
    DeiT pools its patch tokens and leaves the class and distillation tokens out, as the released
    configuration does; that configuration norms the pooled vector once more, which is not done.

    Args:
        name: one of `BASELINES`.
        labels: number of labels.
        pretrained: the tag of `BASELINES[name]`, or a local .safetensors or .pth file with those
            weights in timm's or their authors' names; None starts at random.
        drop_path: stochastic depth of the last block; the paper trains with 0.5.

    Attributes:
        image: side of the input, pixels; it cannot be changed.

    Raises:
        ConfigurationError: an unknown name or tag, or weights of another network.
        MissingPath: weights that are not there, with the way to get them offline.
    """

    def __init__(
        self,
        name: BaselineName,
        labels: int = 7,
        pretrained: str | Path | None = None,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        if name not in BASELINES:
            raise ConfigurationError(
                f"baseline '{name}'; there are {', '.join(BASELINES)}{nearest(name, BASELINES)}"
            )
        self._spec = BASELINES[name]
        self.name: BaselineName = name
        self.image = self._spec.image
        self.labels = labels
        self.backbone: Any = _build_backbone(self._spec, pretrained, drop_path)
        self.head = LinearHead(self.backbone.num_features, labels)

    def features(self, images: Tensor) -> Tensor:
        """Map (N, 3, image, image) to (N, channels, image / 32, image / 32), rounded up.

        DeiT's map has patches of 16 pixels. ConvNeXt's is before the final norm.
        """
        if images.shape[-2:] != (self.image, self.image):
            raise ConfigurationError(
                f"input of {tuple(images.shape[-2:])} px; {self._spec.title} takes {self.image} x "
                f"{self.image}"
            )
        found: Tensor = self.backbone.forward_features(images)
        if self._spec.layout == "channels last":
            return found.permute(0, 3, 1, 2)
        if self._spec.layout == "tokens":
            patches = found[:, self.backbone.num_prefix_tokens :].transpose(1, 2)
            side = math.isqrt(patches.shape[2])
            return patches.reshape(*patches.shape[:2], side, side)
        return found

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Answer a batch.

        Args:
            images: (N, 3, image, image) float32 RGB in [0, 1].

        Returns:
            Logits (N, labels) and score maps (N, labels, h, w) whose means are the logits.
        """
        # only ConvNeXt's norm follows the pooling
        norm = getattr(getattr(self.backbone, "head", None), "norm", None)
        logits, maps = self.head(
            self.features(images), norm if isinstance(norm, nn.LayerNorm) else None
        )
        return logits, maps

    def load_resized(self, state: Mapping[str, Tensor]) -> None:
        """Load weights of the same network; its image size never changes.

        Raises:
            ConfigurationError: weights of another network.
        """
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            raise ConfigurationError(
                f"the weights are not those of {self._spec.title} with {self.labels} labels: "
                f"{_first_line(error)}"
            ) from error


def _build_backbone(spec: BaselineSpec, pretrained: str | Path | None, drop_path: float) -> Any:  # noqa: ANN401 - timm's classes share methods, not a base
    if pretrained is None:
        return timm.create_model(spec.architecture, num_classes=0, drop_path_rate=drop_path)
    text = str(pretrained)
    if text == spec.tag:
        overlay = None
    elif Path(text).suffix:
        overlay = {"state_dict": read_weights(Path(text), f"timm/{spec.weights}")}
    else:
        raise ConfigurationError(
            f"pretrained '{text}' is neither a file nor '{spec.tag}', the weights that "
            f"{spec.title} starts from"
        )
    try:
        # with ImageNet's classes timm insists that every tensor is there and fits
        backbone: Any = timm.create_model(
            spec.weights, pretrained=True, pretrained_cfg_overlay=overlay, drop_path_rate=drop_path
        )
    except (OSError, RuntimeError, KeyError) as error:
        if overlay is None:
            raise MissingPath(
                f"the weights {spec.weights} could not be fetched ({type(error).__name__}); on a "
                f"machine with internet run `huggingface-cli download timm/{spec.weights} "
                "model.safetensors`, copy the file here and give its path"
            ) from error
        raise ConfigurationError(
            f"{text} does not hold the weights of {spec.weights}: {_first_line(error)}"
        ) from error
    backbone.reset_classifier(0)
    return backbone


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[min(1, len(lines) - 1)].strip()[:200] if lines else type(error).__name__
