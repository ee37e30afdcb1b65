"""From a network trained with its quantisers to OpenVINO, and back to plain weights."""

from __future__ import annotations

import copy
import importlib
from typing import Any

import torch
from torch import nn

from realmnet_compression.graphs.openvino_graph import (
    keep_position_tables,
    load_openvino,
    name_ports,
)
from realmnet_compression.quantisation.nncf_library import is_smoothing, load_nncf, quietly
from realmnet_runtime.errors import GateFailed
from realmnet_training.model import RealMNet


def convert(quantised: nn.Module, image: int) -> Any:  # noqa: ANN401 - openvino is untyped
    """Turn a quantised network into an OpenVINO model with INT8 weights.

    Input `image` (1, 3, S, S) float32; outputs `logits` (1, L) and `score_maps` (1, L, h, w)
    float32. Position-bias tables stay tables.

    Args:
        quantised: of `train_aware`; used up, its quantisers become those of torch.
        image: side of its input, pixels.

    Returns:
        An `openvino.Model`.

    Raises:
        GateFailed: the position-bias tables are not where they are expected.
    """
    nncf = load_nncf()
    openvino = load_openvino()
    shape = (1, 3, image, image)
    quantised.to("cpu").eval()
    with quietly(), torch.no_grad():
        stripped = nncf.strip(quantised, do_copy=False, example_input=torch.zeros(shape))
        converted = openvino.convert_model(
            stripped, example_input=torch.zeros(shape), input=[openvino.PartialShape(shape)]
        )
    name_ports(converted)
    keep_position_tables(converted, stripped)
    return converted


def plain_weights(quantised: nn.Module, model: RealMNet) -> RealMNet:
    """The weights of a quantised network, without its quantisers.

    What smoothing moved from the inputs of linear layers into their weights is moved back, so that
    a network of FP32 answers as the quantised one would without rounding. It can be exported and
    quantised after training as any other: that gives the portable Q/DQ file. The trained ranges of
    activations stay behind; that file has its own.

    Args:
        quantised: of `train_aware`, before `convert`.
        model: the FP32 network it was made from; left as it is.
    """
    load_nncf()
    storage = importlib.import_module("nncf.torch.function_hook.hook_storage")
    wrapper = importlib.import_module("nncf.torch.function_hook.wrapper")
    plain = copy.deepcopy(model)
    wanted = plain.state_dict()
    plain.load_state_dict(
        {name: value for name, value in quantised.state_dict().items() if name in wanted}
    )
    for hook, module in wrapper.get_hook_storage(quantised).named_hooks():
        if is_smoothing(module):
            _, operator, _ = storage.decode_hook_name(hook)
            layer = _layer_of(plain, operator)
            with torch.no_grad():
                layer.weight.mul_(module.scale.flatten().to(layer.weight.device))
    return plain


def _layer_of(model: RealMNet, operator: str) -> nn.Linear:
    """The linear layer of an operator such as `2/blocks/0/attn/qkv/linear/0`.

    NNCF names modules from the first one that is called; the way to it is not in the name.
    """
    path = operator.rsplit("/", 2)[0].replace("/", ".")
    found = [
        module
        for name, module in model.named_modules()
        if f".{name}".endswith(f".{path}") and isinstance(module, nn.Linear)
    ]
    if len(found) != 1:
        raise GateFailed(
            f"operator '{operator}' of the quantised network belongs to {len(found)} linear "
            "layers; use a nncf of version 3.4"
        )
    return found[0]
