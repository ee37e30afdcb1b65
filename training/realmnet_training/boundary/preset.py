"""Presets of device-boundary segmentation: the network and how it is fitted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from realmnet_training.config.files import read_preset

Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0.0, lt=1.0)]
Architecture = Literal["deeplabv3_resnet50", "deeplabv3_mobilenet_v3_large"]


class NetworkConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network; see `BoundaryNetwork`.

    Attributes:
        architecture: of torchvision. The paper's is the ResNet-50; the MobileNetV3 is about
            seventeen times cheaper (torchvision's figures: 178.7 and 10.5 giga-operations).
        image: side of the square input, pixels; the paper states none.
        weights: a local file of initial weights, or None for random ones; see `load_initial`.
    """

    architecture: Architecture = "deeplabv3_resnet50"
    image: Annotated[int, Meta(ge=32, le=2048)] = 512
    weights: str | None = None


class BoundaryFitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the weights are fitted.

    Attributes:
        lr, momentum: of SGD, constant over the run; .01 and .9 in the paper.
        batch: pictures per step; 4 in the paper. At least 2: the network's pooled branch has
            batch statistics over one position a picture.
        epochs: the most passes over the training part.
        patience: epochs without a better mean IoU of the development part after which training
            stops; the paper says only that it stopped early.
        flip_horizontal: probability of mirroring a picture; ours, the paper states none.
        seed: of the partition, the initial weights, the order, the mirroring and dropout.
        threads: CPU threads of torch; 0 leaves torch's own choice.
        accelerator: `auto` takes a GPU where there is one.
    """

    lr: Annotated[float, Meta(gt=0.0)] = 0.01
    momentum: Share = 0.9
    batch: Annotated[int, Meta(ge=2)] = 4
    epochs: Count = 100
    patience: Count = 10
    flip_horizontal: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    seed: Annotated[int, Meta(ge=0)] = 42
    threads: Annotated[int, Meta(ge=0)] = 0
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"


class BoundaryPreset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole run of device-boundary segmentation but for the data and the output folder."""

    name: str
    description: str
    network: NetworkConfig = NetworkConfig()
    fit: BoundaryFitConfig = BoundaryFitConfig()


BOUNDARY_PRESETS: Final = ("boundary", "boundary_smoke")


def load_boundary_preset(name: str, changes: Iterable[str] = ()) -> BoundaryPreset:
    """Read a preset of the package by name, or a TOML file by path, with changes applied.

    Args:
        name: one of `BOUNDARY_PRESETS`, or a path ending in `.toml`.
        changes: `key.key=value`, as `fit.epochs=3`.

    Raises:
        MissingPath: no such preset or file.
        ConfigurationError: no TOML, an unknown key (with the nearest), an impossible value.
    """
    return read_preset(name, BOUNDARY_PRESETS, BoundaryPreset, changes)
