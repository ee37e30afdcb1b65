"""The network's shape, its way back to the original's pixels, and initial weights from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torchvision.models import mobilenet_v3_large, resnet50
from torchvision.models.segmentation import (
    DeepLabV3_ResNet50_Weights,
    deeplabv3_mobilenet_v3_large,
)

from realmnet_runtime.errors import ConfigurationError, MissingPath, UsageError
from realmnet_training.boundary.initial import load_initial
from realmnet_training.boundary.network import (
    BoundaryNetwork,
    blacken_outside,
    boundary_mask,
    fit_mask,
    mask_of_scores,
    without_boundary,
)

SMALL = "deeplabv3_mobilenet_v3_large"


@pytest.fixture(scope="module")
def network() -> BoundaryNetwork:
    torch.manual_seed(0)
    return BoundaryNetwork(SMALL, 64).eval()


def ellipse(
    height: int, width: int, centre: tuple[float, float], half: tuple[float, float]
) -> NDArray[np.float32]:
    y = (np.arange(height)[:, None] + 0.5) / height - centre[0]
    x = (np.arange(width)[None] + 0.5) / width - centre[1]
    return (1.0 - np.hypot(y / half[0], x / half[1])).astype(np.float32)


@settings(deadline=None, max_examples=20)
@given(
    st.integers(120, 400),
    st.integers(120, 400),
    st.tuples(st.floats(0.4, 0.6), st.floats(0.4, 0.6)),
    st.tuples(st.floats(0.25, 0.6), st.floats(0.25, 0.6)),
)
def test_scores_of_the_square_go_back_to_the_same_place_of_the_original(
    height: int, width: int, centre: tuple[float, float], half: tuple[float, float]
) -> None:
    found = mask_of_scores(ellipse(96, 96, centre, half), height, width)
    true = ellipse(height, width, centre, half) > 0
    assert found.shape == (height, width)
    assert (found & true).sum() / (found | true).sum() > 0.985
    rows, columns = np.nonzero(found ^ true)
    # what differs lies within half a pixel of the square of the edge
    distance = ellipse(height, width, centre, half)[rows, columns]
    assert (np.abs(distance) < 0.5 / 96 / min(half) + 1e-3).all()


def test_scores_are_enlarged_as_torch_enlarges_logits() -> None:
    scores = np.random.default_rng(0).normal(size=(32, 32)).astype(np.float32)
    enlarged = torch.nn.functional.interpolate(
        torch.from_numpy(scores)[None, None], size=(77, 130), mode="bilinear", align_corners=False
    )[0, 0].numpy()
    ours = mask_of_scores(scores, 77, 130)
    clear = np.abs(enlarged) > 1e-4
    np.testing.assert_array_equal(ours[clear], enlarged[clear] > 0)


def test_a_mask_fitted_to_its_own_size_is_itself_and_keeps_its_share() -> None:
    mask = ellipse(200, 250, (0.5, 0.5), (0.4, 0.4)) > 0
    np.testing.assert_array_equal(fit_mask(np.ascontiguousarray(mask[:, :200]), 200), mask[:, :200])
    assert fit_mask(mask, 64).mean() == pytest.approx(mask.mean(), abs=0.01)


def test_boundary_mask_is_of_the_pictures_size_and_leaves_the_network_alone(
    network: BoundaryNetwork,
) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (70, 111, 3), dtype=np.uint8)
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first, second = boundary_mask(network, picture), boundary_mask(network, picture)
    assert network.training
    network.eval()
    np.testing.assert_array_equal(first, second)
    assert (first.shape, first.dtype) == ((70, 111), np.bool_)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    with pytest.raises(UsageError):
        boundary_mask(network, picture[..., 0])


def test_the_aperture_of_a_network_that_says_so_is_the_whole_picture(
    network: BoundaryNetwork,
) -> None:
    bias = network.body.classifier[-1].bias
    before = bias.detach().clone()
    picture = np.full((64, 80, 3), 90, np.uint8)
    with torch.no_grad():
        bias.copy_(torch.tensor([-100.0, 100.0]))
        assert boundary_mask(network, picture).all()
        np.testing.assert_array_equal(without_boundary(network, picture), picture)
        bias.copy_(torch.tensor([100.0, -100.0]))
        assert not boundary_mask(network, picture).any()
        assert not without_boundary(network, picture).any()
        bias.copy_(before)


def test_outside_is_black_and_inside_untouched() -> None:
    rng = np.random.default_rng(2)
    picture = rng.integers(1, 256, (20, 30, 3), dtype=np.uint8)
    mask = rng.random((20, 30)) < 0.5
    cut = blacken_outside(picture, mask)
    np.testing.assert_array_equal(cut[mask], picture[mask])
    assert not cut[~mask].any()
    np.testing.assert_array_equal(blacken_outside(cut, mask), cut)
    with pytest.raises(UsageError, match=r"needs \(20, 30\) bool"):
        blacken_outside(picture, mask.T)


def test_the_papers_network_answers_two_classes() -> None:
    network = BoundaryNetwork("deeplabv3_resnet50", 64).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    assert logits.shape == (1, 2, 64, 64)
    # torchvision counts 21 classes and an auxiliary head: 3 x 3 to 256, its norm, 1 x 1 to 21
    published = DeepLabV3_ResNet50_Weights.DEFAULT.meta["num_params"]
    auxiliary = 1024 * 256 * 9 + 2 * 256 + 257 * 21
    parameters = sum(value.numel() for value in network.parameters())
    assert parameters == published - auxiliary - 257 * (21 - 2)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_whole_network_of_other_classes_fills_all_but_the_last_convolution(
    suffix: str, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    given = deeplabv3_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    ).state_dict()
    file = tmp_path / f"published{suffix}"
    if suffix == ".pth":
        torch.save(given, file)
    else:
        safetensors.torch.save_file(given, file)
    network = BoundaryNetwork(SMALL, 64)
    last = network.body.classifier[4].weight.detach().clone()
    load_initial(network, str(file))
    state = network.body.state_dict()
    for name, value in given.items():
        if not name.startswith(("classifier.4.", "aux_classifier.")):
            torch.testing.assert_close(state[name], value)
    assert torch.equal(network.body.classifier[4].weight, last)


def test_a_backbone_of_imagenet_fills_the_backbone(tmp_path: Path) -> None:
    torch.manual_seed(2)
    given = mobilenet_v3_large(weights=None).state_dict()
    old = {name: v for name, v in given.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "backbone.pth")
    network = BoundaryNetwork(SMALL, 64)
    head = network.body.classifier[0].project[0].weight.detach().clone()
    load_initial(network, str(tmp_path / "backbone.pth"))
    state = network.body.state_dict()
    for name, value in old.items():
        if name.startswith("features."):
            torch.testing.assert_close(state[name.replace("features", "backbone", 1)], value)
    assert torch.equal(network.body.classifier[0].project[0].weight, head)
    with pytest.raises(ConfigurationError, match="does not hold weights of deeplabv3_resnet50"):
        load_initial(BoundaryNetwork("deeplabv3_resnet50", 64), str(tmp_path / "backbone.pth"))


def test_a_resnet_of_imagenet_fills_the_papers_backbone(tmp_path: Path) -> None:
    given = resnet50(weights=None).state_dict()
    torch.save(given, tmp_path / "resnet50.pth")
    network = BoundaryNetwork("deeplabv3_resnet50", 64)
    load_initial(network, str(tmp_path / "resnet50.pth"))
    torch.testing.assert_close(network.body.backbone["conv1"].weight, given["conv1.weight"])


def test_absent_and_foreign_weights_are_refused_with_the_cure(
    network: BoundaryNetwork, tmp_path: Path
) -> None:
    with pytest.raises(MissingPath, match=r"download https://download\.pytorch\.org/.*mobilenet"):
        load_initial(network, str(tmp_path / "absent.pth"))
    with pytest.raises(ConfigurationError, match=r"no file ending in \.safetensors"):
        load_initial(network, "COCO_WITH_VOC_LABELS_V1")
    (tmp_path / "broken.pth").write_bytes(b"not weights")
    with pytest.raises(ConfigurationError, match="not a file of plain weights"):
        load_initial(network, str(tmp_path / "broken.pth"))
