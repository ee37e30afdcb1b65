"""Class-specific residual attention: the head that turns a feature map into logits."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from realmnet_runtime.errors import ConfigurationError

MAXIMUM: Final = 99.0
"""The temperature that stands for the maximum over positions."""

TEMPERATURES: Final[dict[int, tuple[float, ...]]] = {
    1: (1.0,),
    2: (1.0, MAXIMUM),
    4: (1.0, 2.0, 4.0, MAXIMUM),
    6: (1.0, 2.0, 3.0, 4.0, 5.0, MAXIMUM),
    8: (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, MAXIMUM),
}


class CsraHead(nn.Module):
    """Class-specific residual attention over an unpooled feature map.

    Per head: score = w.x at each position with the class weight w normalised to length 1; logit =
    mean score + lam * (scores averaged by their own softmax at the head's temperature, or their
    maximum). Heads have their own weights and are summed (RealMNet, Methods; Zhu and Wu 2021).

    Args:
        in_channels: channels of the feature map.
        labels: number of labels.
        heads: 1, 2, 4, 6 or 8.
        lam: weight of the attention term; the paper uses 1.2.

    Raises:
        ConfigurationError: a number of heads that has no temperatures, or no labels.
    """

    def __init__(self, in_channels: int, labels: int, heads: int = 2, lam: float = 1.2) -> None:
        super().__init__()
        if heads not in TEMPERATURES:
            raise ConfigurationError(
                f"{heads} heads; the CSRA head takes {', '.join(map(str, TEMPERATURES))}"
            )
        if labels < 1 or in_channels < 1:
            raise ConfigurationError(
                f"CSRA head of {in_channels} channels and {labels} labels; both must be 1 or more"
            )
        self.labels = labels
        self.lam = lam
        self.temperatures = TEMPERATURES[heads]
        self.heads = nn.ModuleList(
            nn.Conv2d(in_channels, labels, kernel_size=1, bias=False) for _ in range(heads)
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Score a feature map.

        Args:
            features: (N, in_channels, h, w), normalised over channels.

        Returns:
            Logits (N, labels) and score maps (N, labels, h, w), the heads' scores summed.
        """
        weights = torch.cat(list(self.heads.parameters()))
        scores = functional.conv2d(features, functional.normalize(weights, dim=1))
        logits: Tensor | None = None
        maps: Tensor | None = None
        for head_scores, temperature in zip(
            scores.chunk(len(self.temperatures), dim=1), self.temperatures, strict=True
        ):
            flat = head_scores.flatten(2)
            if temperature == MAXIMUM:
                attention = flat.amax(dim=2)
            else:
                attention = (flat * torch.softmax(flat * temperature, dim=2)).sum(dim=2)
            answer = flat.mean(dim=2) + self.lam * attention
            logits = answer if logits is None else logits + answer
            maps = head_scores if maps is None else maps + head_scores
        if logits is None or maps is None:
            raise ConfigurationError("CSRA head without temperatures; give 1, 2, 4, 6 or 8 heads")
        return logits, maps
