"""Initial weights of the segmentation network from a local file; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from torch import Tensor
from torchvision.models import MobileNet_V3_Large_Weights, ResNet50_Weights
from torchvision.models.segmentation import (
    DeepLabV3_MobileNet_V3_Large_Weights,
    DeepLabV3_ResNet50_Weights,
)

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_training.boundary.network import BoundaryNetwork
from realmnet_training.boundary.preset import Architecture
from realmnet_training.networks.pretrained import FILE_SUFFIXES, read_weights

_PUBLISHED: Final[dict[Architecture, tuple[str, str]]] = {
    "deeplabv3_resnet50": (
        DeepLabV3_ResNet50_Weights.DEFAULT.url,
        ResNet50_Weights.IMAGENET1K_V1.url,
    ),
    "deeplabv3_mobilenet_v3_large": (
        DeepLabV3_MobileNet_V3_Large_Weights.DEFAULT.url,
        MobileNet_V3_Large_Weights.IMAGENET1K_V1.url,
    ),
}
# the last convolution has as many outputs as the file's data had classes
_LAST: Final = ("classifier.4.", "aux_classifier.")
# of classifiers of whole pictures: their heads, and the prefix of MobileNet's features
_HEADS: Final = ("fc.", "classifier.")
_FEATURES: Final = "features."


def load_initial(network: BoundaryNetwork, source: str) -> None:
    """Fill a network with published weights of torchvision, in place.

    Args:
        network: its last convolution keeps its random weights.
        source: a local file in torchvision's names (.pth, .pt, .bin, .safetensors): a whole
            DeepLabv3 of any number of classes, or a backbone that classifies ImageNet. Files are
            read with `weights_only`, so no code in them runs.

    Raises:
        MissingPath: no such file, with the addresses of the published ones.
        ConfigurationError: another kind of file, or weights of another network.
    """
    if not source.endswith(FILE_SUFFIXES):
        raise ConfigurationError(
            f"network.weights '{source}' is no file ending in {', '.join(FILE_SUFFIXES)}"
        )
    published = _PUBLISHED[network.architecture]
    if not Path(source).is_file():
        raise MissingPath(
            f"initial weights '{source}' do not exist; on a machine with internet download "
            f"{published[0]} (whole network) or {published[1]} (backbone) and copy it here, or "
            "leave network.weights out"
        )
    state = read_weights(Path(source), published[0])
    given, wanted = _in_our_names(state), network.body.state_dict()
    wanted = {name: value for name, value in wanted.items() if _is_compared(name)}
    if not any(name.startswith("classifier.") for name in given):
        wanted = {name: value for name, value in wanted.items() if name.startswith("backbone.")}
    wrong = sorted(
        name
        for name in filter(_is_compared, given.keys() | wanted.keys())
        if name not in given or name not in wanted or given[name].shape != wanted[name].shape
    )
    if wrong:
        raise ConfigurationError(
            f"{source} does not hold weights of {network.architecture}: {len(wrong)} tensors are "
            f"missing, unknown or of another shape, the first is '{wrong[0]}'"
        )
    network.body.load_state_dict(given, strict=False)


def _is_compared(name: str) -> bool:
    # files of before 2018 hold no count of batches, which only cumulative averages use
    return not name.startswith(_LAST) and not name.endswith("num_batches_tracked")


def _in_our_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if any(name.startswith("backbone.") for name in state):
        return {name: value for name, value in state.items() if not name.startswith(_LAST)}
    return {
        f"backbone.{name.removeprefix(_FEATURES)}": value
        for name, value in state.items()
        if not name.startswith(_HEADS)
    }
