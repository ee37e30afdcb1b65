"""Linear head: pooled features to logits, with score maps whose mean is the logit."""

from __future__ import annotations

from typing import Final

from torch import Tensor, nn
from torch.nn import functional

from realmnet_runtime.errors import ConfigurationError

INITIAL_DEVIATION: Final = 0.01


class LinearHead(nn.Module):
    """Global average pooling, the backbone's final norm where there is one, and one linear layer.

    This is the head of the paper's searches and baselines: the norm follows the pooling, as in
    ImageNet training. Score maps apply the pooled vector's own mean and deviation, and then the
    layer, at every position; their mean over positions is therefore the logit itself.

    Args:
        in_channels: channels of the feature map.
        labels: number of labels.

    Raises:
        ConfigurationError: no channels or no labels.
    """

    def __init__(self, in_channels: int, labels: int) -> None:
        super().__init__()
        if labels < 1 or in_channels < 1:
            raise ConfigurationError(
                f"linear head of {in_channels} channels and {labels} labels; both must be 1 or more"
            )
        self.labels = labels
        self.fc = nn.Linear(in_channels, labels)
        nn.init.normal_(self.fc.weight, std=INITIAL_DEVIATION)
        nn.init.zeros_(self.fc.bias)

    def forward(self, features: Tensor, norm: nn.LayerNorm | None = None) -> tuple[Tensor, Tensor]:
        """Score a feature map.

        Args:
            features: (N, in_channels, h, w); before `norm` where it is given.
            norm: layer norm over channels that follows the pooling; None for features that need
                none or have had it.

        Returns:
            Logits (N, labels) and score maps (N, labels, h, w).
        """
        pooled = features.mean(dim=(2, 3), keepdim=True)
        if norm is not None:
            mean = pooled.mean(dim=1, keepdim=True)
            variance = (pooled - mean).square().mean(dim=1, keepdim=True)
            scale, shift = norm.weight[:, None, None], norm.bias[:, None, None]
            features = (features - mean) * (variance + norm.eps).rsqrt() * scale + shift
            # the module itself, so that exporters and hooks see a norm
            pooled = norm(pooled)
        maps = functional.conv2d(features, self.fc.weight[:, :, None, None], self.fc.bias)
        return self.fc(pooled.flatten(1)), maps
