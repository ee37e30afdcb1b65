"""Initial backbone weights: a local file, or one of timm's published tags."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import timm
import torch
from safetensors import SafetensorError
from timm.models.tiny_vit import TinyVit
from torch import Tensor

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.suggestions import nearest
from realmnet_training.networks.backbone import Size
from realmnet_training.networks.position_bias import resize_position_biases

TAGS: Final = ("dist_in22k_ft_in1k", "dist_in22k", "in1k")
FILE_SUFFIXES: Final = (".safetensors", ".pth", ".pt", ".bin")
_IGNORED: Final = ("head.fc.", "attention_bias_idxs")


def load_pretrained(
    backbone: TinyVit, size: Size, image: int, source: str | Path, *, crop_third: bool = False
) -> None:
    """Fill a backbone with pre-trained weights, resizing position biases where windows differ.

    Args:
        backbone: the model to fill, in place.
        size: 5m, 11m or 21m.
        image: side of the backbone's input, pixels.
        source: a timm tag (`dist_in22k_ft_in1k` is the paper's), or a local .safetensors or .pth
            file in timm's names. Files are read with `weights_only`, so no code in them runs.
        crop_third: whether the backbone's third window is smaller than its grid; see
            `resize_position_biases`.

    Raises:
        MissingPath: the file is absent, or the tag's weights cannot be fetched.
        ConfigurationError: an unknown tag, an unreadable file, or weights of another model.
    """
    text = str(source)
    if text in TAGS:
        state: Mapping[str, Tensor] = _fetch(size, image, text)
    elif text.endswith(FILE_SUFFIXES):
        state = read_weights(
            Path(text), "timm/tiny_vit_21m_384.dist_in22k_ft_in1k (or the size you train)"
        )
    else:
        raise ConfigurationError(
            f"pretrained '{text}' is neither a file ending in {', '.join(FILE_SUFFIXES)} nor one "
            f"of timm's tags {', '.join(TAGS)}{nearest(text, TAGS)}"
        )
    wanted = backbone.state_dict()
    state = resize_position_biases(
        {name: value for name, value in state.items() if not _is_ignored(name)},
        wanted,
        crop_third=crop_third,
    )
    wrong = sorted(
        name
        for name in state.keys() | wanted.keys()
        if name not in state or name not in wanted or state[name].shape != wanted[name].shape
    )
    if wrong:
        raise ConfigurationError(
            f"{text} does not hold the weights of tiny_vit_{size}: {len(wrong)} tensors are "
            f"missing, unknown or of another shape, the first is '{wrong[0]}'"
        )
    backbone.load_state_dict(state)


def _is_ignored(name: str) -> bool:
    return any(part in name for part in _IGNORED)


def _fetch(size: Size, image: int, tag: str) -> Mapping[str, Tensor]:
    larger = image if size == "21m" and image in (384, 512) else 224
    if larger != 224 and tag != "dist_in22k_ft_in1k":
        larger = 224
    name = f"tiny_vit_{size}_{larger}.{tag}"
    try:
        model = timm.create_model(name, pretrained=True, num_classes=0, global_pool="")
    except (OSError, RuntimeError) as error:
        raise MissingPath(
            f"the weights {name} could not be fetched ({type(error).__name__}); on a machine with "
            f"internet run `huggingface-cli download timm/{name} model.safetensors`, copy the file "
            "here and give its path as `model.pretrained`"
        ) from error
    state: Mapping[str, Tensor] = model.state_dict()
    return state


def read_weights(path: Path, origin: str) -> Mapping[str, Tensor]:
    """Read a file of plain weights, running nothing it says.

    Args:
        path: a .safetensors file, or one of `torch.save`.
        origin: where such a file is published, for the error.

    Raises:
        MissingPath: no such file, with the way to get it offline.
        ConfigurationError: something other than names and tensors.
    """
    if not path.is_file():
        raise MissingPath(
            f"pre-trained weights '{path}' do not exist; download model.safetensors of {origin} "
            "from huggingface.co on a machine with internet and copy it here"
        )
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ConfigurationError(
            f"{path} is not a file of plain weights ({type(error).__name__}); convert it to "
            "safetensors where you trust it"
        ) from error
    for wrapper in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise ConfigurationError(f"{path} holds no mapping of names to tensors")
    return content
