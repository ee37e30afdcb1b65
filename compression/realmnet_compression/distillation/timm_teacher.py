"""A teacher built by timm, with a head that was trained on the student's labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.suggestions import nearest
from realmnet_training.networks.pretrained import read_weights


class TimmTeacher(nn.Module):
    """A timm classifier that takes pictures as ours do and has no score maps.

    Args:
        model: maps normalised pictures to logits.
        mean: of each channel, on the [0, 1] scale.
        std: of each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Map (N, 3, S, S) RGB in [0, 1] to logits (N, L)."""
        return self.model((images - self.mean) / self.std), None


def build_timm_teacher(name: str, path: Path, label_set: LabelSet) -> tuple[TimmTeacher, int]:
    """Build a timm model and fill it from a local file; nothing is downloaded.

    Pictures are normalised and sized as timm's own configuration of the model says. A file of
    weights names no labels: that its outputs are the label set's, in order, is the caller's word.

    Args:
        name: of the network, as timm calls it.
        path: .safetensors or .pth file of all its weights, the head among them.
        label_set: of the student.

    Returns:
        The model, and the side of its input in pixels.

    Raises:
        ConfigurationError: no such network, another number of labels, or weights of another one.
        MissingPath: no such file.
    """
    if not timm.is_model(name):
        raise ConfigurationError(f"timm has no network '{name}'{nearest(name, timm.list_models())}")
    state = read_weights(path, f"timm/{name}")
    model: Any = timm.create_model(name, pretrained=False, num_classes=len(label_set))
    _require_labels(model, state, path, label_set)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise ConfigurationError(
            f"teacher '{path}' does not hold the weights of timm's '{name}' "
            f"({lines[min(1, len(lines) - 1)].strip()[:120]}); give --timm the network it was "
            "saved from"
        ) from error
    described: Mapping[str, Any] = model.pretrained_cfg
    mean = described.get("mean") or IMAGENET_DEFAULT_MEAN
    std = described.get("std") or IMAGENET_DEFAULT_STD
    return TimmTeacher(model, mean, std), int(described["input_size"][-1])


def _require_labels(
    model: Any,  # noqa: ANN401 - timm's classes share attributes, not a base
    state: Mapping[str, Tensor],
    path: Path,
    label_set: LabelSet,
) -> None:
    heads = model.pretrained_cfg.get("classifier") or ()
    for head in (heads,) if isinstance(heads, str) else heads:
        weight = state.get(f"{head}.weight")
        if weight is not None and weight.shape[0] != len(label_set):
            raise ConfigurationError(
                f"teacher '{path}' has {weight.shape[0]} outputs and label set "
                f"'{label_set.name}' {len(label_set)} labels ({', '.join(label_set.names)}); train "
                "its head on these labels, in this order, and save it again"
            )
