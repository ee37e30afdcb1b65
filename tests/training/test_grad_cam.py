"""Grad-CAM++ against the worked vectors and, on RealMNet's head, against the paper's formula."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from realmnet_runtime.errors import UsageError
from realmnet_training.explanation.grad_cam import grad_cam_pp, paper_weights, require_grad_cam
from realmnet_training.networks.csra import CsraHead

pytestmark = pytest.mark.usefixtures("one_thread")

Reader = Callable[[str], dict[str, Any]]


@pytest.fixture
def package() -> ModuleType:
    module: ModuleType = pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")
    return module


def weighted(weights: NDArray[np.float64], activations: NDArray[Any]) -> NDArray[np.float64]:
    return np.maximum(np.einsum("nc,nchw->nhw", weights, activations), 0.0)


def normal_maps(seed: int, channels: int = 24, side: int = 6) -> torch.Tensor:
    """Maps as the final norm leaves them: mean 0 and variance 1 over channels."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(3, channels, side, side, generator=generator)
    return torch.nn.functional.layer_norm(maps.permute(0, 2, 3, 1), (channels,)).permute(0, 3, 1, 2)


def test_the_papers_formula_gives_the_worked_weights_and_maps(vectors: Reader) -> None:
    worked = vectors("gradcam_pp")
    activations, gradients = (np.array(worked[name]) for name in ("activations", "gradients"))
    case = worked["paper_formula_numpy"]
    for suffix, normalised in (("", False), ("_alpha_normalised", True)):
        weights = paper_weights(
            activations, gradients, np.array([case["score"]]), normalised=normalised
        )
        np.testing.assert_allclose(weights[0], case[f"weights{suffix}"], rtol=1e-6)
        np.testing.assert_allclose(
            weighted(weights, activations)[0], case[f"cam{suffix}"], rtol=1e-6, atol=1e-12
        )


def test_the_installed_package_gives_the_worked_weights_and_maps(
    vectors: Reader, package: ModuleType
) -> None:
    worked = vectors("gradcam_pp")
    activations, gradients = (np.array(worked[name]) for name in ("activations", "gradients"))
    case = worked["grad_cam_package"]
    weights = package.GradCAMPlusPlus.get_cam_weights(
        None, None, None, None, activations, gradients
    )
    np.testing.assert_allclose(weights, case["weights"], rtol=1e-6)
    cam = weighted(weights, activations)
    np.testing.assert_allclose(cam, case["cam_relu"], rtol=1e-6, atol=1e-12)
    scaled = package.utils.image.scale_cam_image(cam)
    np.testing.assert_allclose(scaled[0], case["cam_minmax"], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("seed", range(4))
def test_maps_of_the_head_are_the_papers(package: ModuleType, heads: int, seed: int) -> None:
    torch.manual_seed(seed)
    head, features, labels = CsraHead(24, 5, heads), normal_maps(seed), [4, 0, 4]
    found = grad_cam_pp(head, features, labels)
    assert found.shape == (3, 6, 6)
    assert found.dtype == np.float32
    assert all(weight.grad is None and weight.requires_grad for weight in head.parameters())
    exact = features.double().requires_grad_()
    scores = head.double()(exact)[0][range(3), labels]
    (gradients,) = torch.autograd.grad(scores.sum(), exact)
    activations = exact.detach().numpy()
    weights = paper_weights(activations, gradients.numpy(), scores.detach().numpy())
    cam = weighted(weights, activations)
    low, high = (side(cam, axis=(1, 2), keepdims=True) for side in (np.min, np.max))
    np.testing.assert_allclose(found, (cam - low) / (high - low), atol=1e-5)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.floats(-3.0, 3.0))
def test_the_score_only_scales_weights_and_normalised_alphas_sum_to_one(
    seed: int, score: float
) -> None:
    random = np.random.default_rng(seed)
    activations = random.normal(size=(2, 3, 4, 5))
    gradients = random.normal(size=activations.shape)
    plain = paper_weights(activations, gradients, np.zeros(2))
    scaled = paper_weights(activations, gradients, np.full(2, score))
    np.testing.assert_allclose(scaled, plain * np.exp(score), rtol=1e-9)
    # equal positive slopes are averaged with the normalised alphas, which leaves the slope
    flat = np.full(activations.shape, 0.3)
    np.testing.assert_allclose(
        paper_weights(activations, flat, np.zeros(2), normalised=True), 0.3, rtol=1e-9
    )


def test_where_nothing_speaks_for_a_label_the_weights_are_zero() -> None:
    activations = np.ones((1, 2, 3, 3))
    for gradients in (np.zeros_like(activations), np.full_like(activations, -1.0)):
        for normalised in (False, True):
            weights = paper_weights(activations, gradients, np.ones(1), normalised=normalised)
            assert weights.tolist() == [[0.0, 0.0]]


def test_many_labels_of_one_picture_are_each_explained_alone(package: ModuleType) -> None:
    torch.manual_seed(0)
    head, features = CsraHead(24, 20), normal_maps(0)[:1]
    labels = list(range(20))
    together = grad_cam_pp(head, features.expand(20, -1, -1, -1), labels)
    for label in (0, 15, 16, 19):
        np.testing.assert_allclose(
            together[label], grad_cam_pp(head, features, [label])[0], atol=1e-6
        )
    assert grad_cam_pp(head, features[:0], []).shape == (0, 6, 6)


def test_wrong_numbers_and_an_absent_package_are_one_line(
    monkeypatch: pytest.MonkeyPatch, package: ModuleType
) -> None:
    with pytest.raises(UsageError, match="for 2 labels"):
        grad_cam_pp(CsraHead(24, 5), normal_maps(0), [0, 1])
    for name in [name for name in sys.modules if name.partition(".")[0] == "pytorch_grad_cam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(UsageError, match=r"pip install --no-deps grad-cam.*--method csra"):
        require_grad_cam()
