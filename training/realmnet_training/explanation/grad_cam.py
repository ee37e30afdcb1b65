"""Grad-CAM++ (Chattopadhay and others 2018) on the last feature map, by the grad-cam package.

Only the head lies above that map, so only the head is differentiated: the backbone runs once for
all labels of a picture.

The package adds 1e-6 to the denominator of its quotient as a guard. Gradients of a head that
averages over positions are a few 1e-4 and their squares 1e-7, so the guard would shape the map. A
map handed over as map * k has gradients / k and the same product of the two: with a small k the
guard vanishes and the paper's formula, `paper_weights`, remains.

That formula supposes a map behind a ReLU. RealMNet's is normalised and has both signs, so its
quotient has poles; `docs/explanations.md` says how much they weigh.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realmnet_runtime.errors import UsageError
from realmnet_training.networks.csra import CsraHead

Floats = NDArray[np.float64]

# Its own requirements would bring opencv-python-headless over opencv-python.
CURE: Final = "pip install matplotlib tqdm && pip install --no-deps grad-cam ttach"

_SHRINK: Final = 1e-6
_AT_ONCE: Final = 16


class GradCamPackage(NamedTuple):
    """What is used of the package, which has no types."""

    GradCAMPlusPlus: Any
    ClassifierOutputTarget: Any


def grad_cam_pp(head: CsraHead, features: Tensor, labels: Sequence[int]) -> NDArray[np.float32]:
    """Map where a feature map speaks for a label.

    Args:
        head: of the network; its own gradients are not touched.
        features: (K, C, h, w) normalised feature maps.
        labels: (K,) the label to explain in each of them.

    Returns:
        (K, h, w) float32: ReLU of the weighted sum of channels, each map stretched to 0..1; all
        zero where no position speaks for the label.

    Raises:
        UsageError: another number of labels than of maps, or the package is not installed.
    """
    if features.ndim != 4 or len(features) != len(labels):
        raise UsageError(
            f"feature maps {tuple(features.shape)} for {len(labels)} labels; (K, C, h, w) and K "
            "labels are needed"
        )
    package = require_grad_cam()
    scaled = _ScaledHead(head).to(features.device)
    explainer = package.GradCAMPlusPlus(scaled, [scaled.map])
    maps = [np.zeros((0, *features.shape[-2:]), np.float32)]
    for start in range(0, len(labels), _AT_ONCE):
        part = features[start : start + _AT_ONCE].detach().double() * _SHRINK
        targets = [
            package.ClassifierOutputTarget(label) for label in labels[start : start + _AT_ONCE]
        ]
        with torch.enable_grad():
            maps.append(explainer(part.requires_grad_(), targets))
    return np.concatenate(maps)


def paper_weights(
    activations: Floats, gradients: Floats, scores: Floats, *, normalised: bool = False
) -> Floats:
    """Channel weights as the paper of Grad-CAM++ defines them, for a class score of exp(S).

    Args:
        activations: (N, C, h, w) feature maps A.
        gradients: (N, C, h, w) dS/dA.
        scores: (N,) S.
        normalised: divide each channel's alphas by their sum over the positions that count.

    Returns:
        (N, C): sum over positions of alpha * ReLU(dY/dA), alpha = g^2 / (2 g^2 + sum(A) g^3) and 0
        where the gradient g is 0. A score only scales them unless `normalised`.
    """
    total = activations.sum(axis=(2, 3), keepdims=True)
    # g^2 is cut out of the quotient: it underflows before the quotient does
    quotient = 2.0 + total * gradients
    counts = (gradients != 0.0) & (quotient != 0.0)
    alphas = np.divide(1.0, quotient, out=np.zeros_like(quotient), where=counts)
    if normalised:
        counting = np.where(gradients > 0.0, alphas, 0.0).sum(axis=(2, 3), keepdims=True)
        alphas = np.divide(alphas, counting, out=np.zeros_like(alphas), where=counting != 0.0)
    slopes = np.exp(scores)[:, np.newaxis, np.newaxis, np.newaxis] * np.maximum(gradients, 0.0)
    weights: Floats = (alphas * slopes).sum(axis=(2, 3))
    return weights


def require_grad_cam() -> GradCamPackage:
    """Import the package.

    Raises:
        UsageError: it, or a library it needs, is not installed.
    """
    try:
        package = importlib.import_module("pytorch_grad_cam")
        targets = importlib.import_module("pytorch_grad_cam.utils.model_targets")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"Grad-CAM++ needs {error.name}, which is not installed; {CURE}; or ask for --method "
            "csra, which needs nothing more"
        ) from error
    return GradCamPackage(package.GradCAMPlusPlus, targets.ClassifierOutputTarget)


class _ScaledHead(nn.Module):
    """The head over a shrunken map, in double precision, as a network of its own."""

    def __init__(self, head: CsraHead) -> None:
        super().__init__()
        self.map = nn.Identity()
        self.head = copy.deepcopy(head).requires_grad_(False).double()

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(self.map(features) / _SHRINK)[0]
        return logits
