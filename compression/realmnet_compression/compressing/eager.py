"""The network as timm and PyTorch run it, against which latency is quoted."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Final

import torch

from realmnet_compression.answers import Float32Array
from realmnet_training.model import RealMNet
from realmnet_training.networks.backbone import build_timm_backbone

EAGER: Final = "eager-pytorch"
"""Name beside those of variants; it is none and cannot be released."""


def timm_network(model: RealMNet) -> RealMNet:
    """A copy with timm's own backbone: the same weights, FP32, contiguous, in evaluation mode."""
    network = copy.deepcopy(model)
    network.backbone = build_timm_backbone(model.size, model.image, third_window=model.third_window)
    network.backbone.load_state_dict(model.backbone.state_dict())
    network.eval()
    return network.to(memory_format=torch.contiguous_format)


@contextlib.contextmanager
def eager_call(
    model: RealMNet, tensor: Float32Array, threads: int
) -> Iterator[Callable[[], object]]:
    """A call that answers one picture in eager PyTorch; threads are as before at the end.

    Args:
        model: of the checkpoint.
        tensor: (1, 3, S, S) float32.
        threads: torch computes with.
    """
    network, images = timm_network(model), torch.from_numpy(tensor)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)

    def call() -> object:
        with torch.inference_mode():
            return network(images)

    try:
        yield call
    finally:
        torch.set_num_threads(before)
