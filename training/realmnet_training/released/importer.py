"""Checkpoints of the released OpenMMLab code, read into a RealMNet."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from torch import Tensor

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.model import HeadKind, RealMNet
from realmnet_training.networks.backbone import Size
from realmnet_training.released.inert_pickle import View
from realmnet_training.released.torch_archive import TorchArchive, tensors_of

# the third stage attends over its whole grid, of stride 16, so its table gives the image size
_TABLE: Final = "backbone.stages.2.blocks.0.attn.attention_biases"
_NORM: Final = "backbone.norm3.weight"
_LINEAR: Final = "head.fc.weight"
_CSRA: Final = re.compile(r"head\.csra_heads\.(\d+)\.head\.weight")
_DOWNSAMPLE: Final = re.compile(r"stages\.(\d)\.downsample")
_SIZES: Final[dict[int, Size]] = {320: "5m", 448: "11m", 576: "21m"}
_STRIDE: Final = 16
_LARGEST_IMAGE: Final = 1024

_WRAPPERS: Final = ("state_dict", "model", "ema_state_dict")
_PREFIXES: Final = ("module.", "ema_")
# gathered indices are built anew; the pre-processor's constants are in the runtime's spec
_IGNORED: Final = ("attention_bias_idxs", "data_preprocessor.")
_RENAMED: Final = (
    (".conv2d.", ".conv."),
    (".bn2d.", ".bn."),
    ("patch_embed.seq.0.", "patch_embed.conv1."),
    ("patch_embed.seq.2.", "patch_embed.conv2."),
    ("backbone.norm3.", "backbone.head.norm."),
)


def import_released(path: str | Path, lam: float = 1.2) -> RealMNet:
    """Build a RealMNet from a checkpoint of the released code.

    No code of the file runs and no library of its authors is needed (see `torch_archive`). Model
    size, image size, labels, kind and number of heads follow from the shapes. Where the training
    averaged its weights, OpenMMLab swaps the average into the plain names as it saves, so those
    are taken; names prefixed `ema_` count only where there are no plain ones.

    Args:
        path: a .pth file of torch 1.6 or later: a state dict, or a training checkpoint around it.
        lam: weight of the attention term of the CSRA head; no tensor tells it.

    Returns:
        The model with float32 weights, in evaluation mode on the CPU.

    Raises:
        MissingPath: no such file.
        IntegrityError: not a zip file of `torch.save`, damaged, or unsafe.
        ConfigurationError: another architecture; the message names the first tensor that does
            not fit.
    """
    path = Path(path)
    with TorchArchive(path) as archive:
        views = _plain_names(archive.root, path)
        archive.require_fit(views.values())
        model = _build(views, lam, path)
        targets = model.state_dict()
        sources = {_our_name(name): name for name in views}
        _require_fit(sources, views, targets, model, path)
        model.load_state_dict(
            {
                name: archive.read(views[source]).to(targets[name].dtype)
                for name, source in sources.items()
            }
        )
    return model.eval()


def _plain_names(root: object, path: Path) -> dict[str, View]:
    for wrapper in _WRAPPERS:
        if isinstance(root, Mapping) and isinstance(root.get(wrapper), Mapping):
            root = root[wrapper]
    tensors = tensors_of(root) if isinstance(root, Mapping) else {}
    named: dict[str, View] = {}
    averaged: dict[str, View] = {}
    for name, view in tensors.items():
        bare = name
        while bare.startswith(_PREFIXES):
            bare = bare.removeprefix("module.").removeprefix("ema_")
        if bare.startswith(("backbone.", "head.")) and not any(part in bare for part in _IGNORED):
            target = averaged if "ema_" in name.removesuffix(bare) else named
            if bare in target:
                raise ConfigurationError(f"'{path}' holds '{bare[:80]}' twice, prefixed and plain")
            target[bare] = view
    if not named and not averaged:
        raise ConfigurationError(
            f"'{path}' holds no tensors named backbone.* and head.*; a checkpoint of the released "
            "code has them in its state_dict"
        )
    return named or averaged


def _build(views: Mapping[str, View], lam: float, path: Path) -> RealMNet:
    width = _shape(views, _NORM, 1, path)[0]
    if width not in _SIZES:
        raise ConfigurationError(
            f"'{path}': tensor '{_NORM}' has {width} channels; RealMNet has "
            f"{', '.join(f'{channels} ({size})' for channels, size in _SIZES.items())}"
        )
    image = _STRIDE * math.isqrt(_shape(views, _TABLE, 2, path)[1])
    if image > _LARGEST_IMAGE:
        raise ConfigurationError(
            f"'{path}': tensor '{_TABLE}' is that of {image} px; at most {_LARGEST_IMAGE} are read"
        )
    heads = sorted(name for name in views if _CSRA.fullmatch(name))
    kind: HeadKind = "linear" if _LINEAR in views else "csra"
    first = _LINEAR if kind == "linear" else (heads or ["head.csra_heads.0.head.weight"])[0]
    labels = _shape(views, first, 2 if kind == "linear" else 4, path)[0]
    return RealMNet(_SIZES[width], image, labels, len(heads) or 2, lam, head=kind)


def _shape(views: Mapping[str, View], name: str, dimensions: int, path: Path) -> tuple[int, ...]:
    if name not in views:
        raise ConfigurationError(f"'{path}' is no RealMNet: tensor '{name}' is missing")
    size = views[name].size
    if len(size) != dimensions:
        raise ConfigurationError(
            f"'{path}' is no RealMNet: tensor '{name}' has shape {size}, {dimensions} dimensions "
            "are expected"
        )
    return size


def _our_name(name: str) -> str:
    for theirs, ours in _RENAMED:
        name = name.replace(theirs, ours)
    name = _DOWNSAMPLE.sub(lambda found: f"stages.{int(found[1]) + 1}.downsample", name)
    return _CSRA.sub(r"head.heads.\1.weight", name)


def _require_fit(
    sources: Mapping[str, str],
    views: Mapping[str, View],
    targets: Mapping[str, Tensor],
    model: RealMNet,
    path: Path,
) -> None:
    built = f"a RealMNet {model.size} at {model.image} px with {model.labels} labels"
    for name, wanted in targets.items():
        if name not in sources:
            raise ConfigurationError(f"'{path}' does not fit {built}: '{name}' is missing")
        found = views[sources[name]].size
        if found != tuple(wanted.shape):
            raise ConfigurationError(
                f"'{path}' does not fit {built}: '{sources[name]}' has shape {found}, not "
                f"{tuple(wanted.shape)}"
            )
    unknown = next((source for name, source in sources.items() if name not in targets), None)
    if unknown is not None:
        raise ConfigurationError(f"'{path}' does not fit {built}: it has no '{unknown[:80]}'")
