"""From a network trained with its quantisers to OpenVINO, and back to plain weights."""

from __future__ import annotations

import copy
import importlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.models.tiny_vit import Attention
from torch import nn

from realmnet_compression.export_onnx import INPUT, OUTPUTS
from realmnet_compression.quantisation.nncf_library import is_smoothing, load_nncf, quietly
from realmnet_runtime.errors import GateFailed
from realmnet_runtime.files import write_atomically
from realmnet_training.model import RealMNet

_ATTENTION = "ScaledDotProductAttention"
_BIAS = 3


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
    openvino = importlib.import_module("openvino")
    shape = (1, 3, image, image)
    quantised.to("cpu").eval()
    with quietly(), torch.no_grad():
        stripped = nncf.strip(quantised, do_copy=False, example_input=torch.zeros(shape))
        converted = openvino.convert_model(
            stripped, example_input=torch.zeros(shape), input=[openvino.PartialShape(shape)]
        )
    converted.inputs[0].get_tensor().set_names({INPUT})
    for port, name in zip(converted.outputs, OUTPUTS, strict=True):
        port.get_tensor().set_names({name})
    _keep_position_tables(converted, stripped)
    return converted


def write_ir(converted: Any, path: Path) -> Path:  # noqa: ANN401 - openvino is untyped
    """Write an OpenVINO model as `path` (.xml) and its weights beside it (.bin).

    Each file is written whole or not at all, the weights first.

    Raises:
        OutputError: a file could not be written.
    """
    openvino = importlib.import_module("openvino")
    with tempfile.TemporaryDirectory(prefix="realmnet-") as folder:
        made = Path(folder) / "made.xml"
        openvino.save_model(converted, made, compress_to_fp16=False)
        write_atomically(path.with_suffix(".bin"), made.with_suffix(".bin").read_bytes())
        write_atomically(path, made.read_bytes())
    return path


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


def _keep_position_tables(converted: Any, source: nn.Module) -> None:  # noqa: ANN401
    """Put a gather from the table in the place of biases that the conversion has expanded."""
    opset = importlib.import_module("openvino.opset13")
    sites = [node for node in converted.get_ordered_ops() if node.get_type_name() == _ATTENTION]
    attentions = [module for module in source.modules() if isinstance(module, Attention)]
    if len(sites) != len(attentions):
        raise GateFailed(
            f"{len(sites)} attentions in the converted model, {len(attentions)} in the network; "
            "use an openvino of version 2026.4"
        )
    indices: dict[int, Any] = {}
    for node, module in zip(sites, attentions, strict=True):
        table = module.attention_biases.detach().numpy()
        index = module.get_buffer("attention_bias_idxs").numpy().astype(np.int32)
        bias = node.input_value(_BIAS).get_node()
        if bias.get_type_name() != "Constant" or not np.array_equal(
            bias.get_data().reshape(table[:, index].shape), table[:, index]
        ):
            raise GateFailed(
                f"the position biases of '{node.get_friendly_name()}' are not the network's; use "
                "an openvino of version 2026.4"
            )
        positions = len(index)
        if positions not in indices:
            indices[positions] = opset.constant(index, name=f"position_index.{positions}")
        gathered = opset.gather(
            opset.constant(table), indices[positions], opset.constant(1, np.int32)
        )
        node.input(_BIAS).replace_source_output(gathered.output(0))
    converted.validate_nodes_and_infer_types()
