"""DeepLabv3 from torchvision with two classes, and the mask of one picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models.segmentation import (
    DeepLabV3,
    deeplabv3_mobilenet_v3_large,
    deeplabv3_resnet50,
)

from realmnet_runtime.errors import UsageError
from realmnet_runtime.pictures.images import require_rgb
from realmnet_training.boundary.preset import Architecture

OUTSIDE: Final = 0
INSIDE: Final = 1

_BUILDERS: Final[dict[Architecture, Callable[..., DeepLabV3]]] = {
    "deeplabv3_resnet50": deeplabv3_resnet50,
    "deeplabv3_mobilenet_v3_large": deeplabv3_mobilenet_v3_large,
}
# what torchvision's published weights were trained with, R, G, B on [0, 1]
_MEAN: Final = (0.485, 0.456, 0.406)
_STD: Final = (0.229, 0.224, 0.225)
_NORM_MOMENTUM: Final = 0.1


class BoundaryNetwork(nn.Module):
    """Tells the aperture from the device's border around it.

    Args:
        architecture: of torchvision.
        image: side S of the square input, pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, architecture: Architecture, image: int) -> None:
        super().__init__()
        self.architecture: Architecture = architecture
        self.image = image
        self.body = _BUILDERS[architecture](
            weights=None, weights_backbone=None, num_classes=2, aux_loss=False
        )
        for module in self.body.modules():
            if isinstance(module, nn.BatchNorm2d):
                # MobileNetV3's own .01 remembers hundreds of steps: many epochs of so small a set
                module.momentum = _NORM_MOMENTUM
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Score pictures.

        Args:
            pictures: (N, 3, S, S) RGB, 0..255, uint8 or float.

        Returns:
            (N, 2, S, S) float32 logits: outside, inside.
        """
        scaled = (pictures.float() / 255.0 - self.mean) / self.std
        logits: Tensor = self.body(scaled.contiguous(memory_format=torch.channels_last))["out"]
        return logits.float()


def fit_picture(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Stretch a picture to the network's square.

    Args:
        picture: (H, W, 3) uint8 RGB.
        size: S, pixels.

    Returns:
        (S, S, 3) uint8 RGB.
    """
    # area averages where a side shrinks and is linear where it grows
    resized = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def fit_mask(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Stretch a mask to the network's square: true where at least half of the area is.

    Args:
        mask: (H, W) bool.
        size: S, pixels.

    Returns:
        (S, S) bool.
    """
    shares = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(shares >= 0.5)


def mask_of_scores(scores: NDArray[np.float32], height: int, width: int) -> NDArray[np.bool_]:
    """Carry scores back to the pixels of the original.

    Args:
        scores: (h, w) float32, above 0 inside the aperture.
        height: rows of the original, H.
        width: columns of the original, W.

    Returns:
        (H, W) bool: the sign of the scores, linear between their pixels' centres. The scores and
        not the mask are enlarged, so that the edge is as smooth as they are.
    """
    enlarged = cv2.resize(scores, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(enlarged > 0.0)


@torch.inference_mode()
def boundary_mask(network: BoundaryNetwork, image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Segment one picture.

    Args:
        network: trained; it answers in evaluation mode and is left as it was.
        image: (H, W, 3) uint8 RGB, any size.

    Returns:
        (H, W) bool, true inside the aperture, as the network says it: nothing is filled or
        cut away afterwards, and the mask of a picture without an aperture may be empty.

    Raises:
        UsageError: the array is not (H, W, 3) uint8.
    """
    picture = fit_picture(require_rgb(image), network.image)
    pixels = torch.from_numpy(picture.transpose(2, 0, 1)[np.newaxis]).to(network.mean.device)
    was_training = network.training
    logits = network.eval()(pixels)[0].cpu().numpy()
    network.train(was_training)
    return mask_of_scores(logits[INSIDE] - logits[OUTSIDE], *image.shape[:2])


def blacken_outside(image: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a picture that is black outside a mask and unchanged inside.

    Args:
        image: (H, W, 3) uint8 RGB; not changed.
        mask: (H, W) bool.

    Raises:
        UsageError: another shape or type.
    """
    if mask.shape != image.shape[:2] or mask.dtype != np.bool_:
        raise UsageError(
            f"mask has shape {mask.shape} and type {mask.dtype}; a picture of {image.shape} needs "
            f"{image.shape[:2]} bool"
        )
    return np.where(mask[..., np.newaxis], require_rgb(image), np.uint8(0))


def without_boundary(network: BoundaryNetwork, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blacken what the network takes for the device: a picture in its de-boundaried form.

    Args:
        network: trained.
        image: (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB of the same size; nothing is cropped.

    Raises:
        UsageError: the array is not (H, W, 3) uint8.
    """
    return blacken_outside(image, boundary_mask(network, image))
