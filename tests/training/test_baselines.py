"""The compared networks: shapes, timm's own answers, weights from files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_training.networks import baselines
from realmnet_training.networks.baselines import BASELINES, Baseline, BaselineName
from realmnet_training.networks.complexity import measure_complexity

# a small relative of each, of the same family, so that a test costs little
SMALL: dict[BaselineName, tuple[str, int]] = {
    "deit_b": ("deit_tiny_distilled_patch16_224", 224),
    "convnext_t": ("convnext_atto", 96),
    "efficientnet_b4": ("tf_efficientnet_b0", 100),
    "swin_b": ("swin_tiny_patch4_window7_224", 224),
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, (architecture, image) in SMALL.items():
        spec = dataclasses.replace(BASELINES[name], architecture=architecture, image=image)
        monkeypatch.setitem(baselines.BASELINES, name, spec)


@pytest.mark.parametrize(
    ("name", "parameters", "grid"),
    # ImageNet's count without its classifiers (DeiT has two), and seven labels
    [
        ("deit_b", 87_630_032 - 2 * 769_000 + 7 * 769, 24),
        ("convnext_t", 28_589_128 - 769_000 + 7 * 769, 12),
        ("efficientnet_b4", 19_341_616 - 1_793_000 + 7 * 1_793, 12),
        ("swin_b", 87_903_584 - 1_025_000 + 7 * 1_025, 12),
    ],
)
def test_seven_labels_on_each_backbone(name: BaselineName, parameters: int, grid: int) -> None:
    with torch.device("meta"):
        model = Baseline(name, drop_path=0.5)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    logits, maps = model(torch.zeros(2, 3, model.image, model.image, device="meta"))
    assert logits.shape == (2, 7)
    assert maps.shape == (2, 7, grid, grid)
    macs = measure_complexity(model, model.image).macs
    assert macs / 1e9 == pytest.approx(BASELINES[name].published_gmacs, rel=0.06)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", ["convnext_t", "efficientnet_b4", "swin_b"])
def test_answers_are_those_of_timms_own_classifier(name: BaselineName) -> None:
    torch.manual_seed(1)
    model = Baseline(name, labels=7).eval()
    theirs: Any = timm.create_model(SMALL[name][0], num_classes=7).eval()
    theirs.load_state_dict(model.backbone.state_dict(), strict=False)
    theirs.get_classifier().load_state_dict(model.head.fc.state_dict())
    images = torch.rand(2, 3, model.image, model.image)
    with torch.no_grad():
        logits, maps = model(images)
        torch.testing.assert_close(logits, theirs(images), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), logits, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("small")
def test_deit_pools_its_patches_in_row_order() -> None:
    model = Baseline("deit_b").eval()
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        tokens = model.backbone.forward_features(images)
        logits, maps = model(images)
        expected = model.head.fc(tokens[:, 2:].mean(dim=1))
        at_row_3_column_5 = model.head.fc(tokens[:, 2 + 3 * 14 + 5])
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(maps[:, :, 3, 5], at_row_3_column_5, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_local_weights_fill_the_backbone_whole_or_not_at_all(suffix: str, tmp_path: Path) -> None:
    whole = timm.create_model("convnext_atto").state_dict()
    path = tmp_path / f"model{suffix}"
    save: Any = safetensors.torch.save_file if suffix == ".safetensors" else torch.save
    save(whole, path)
    with pytest.MonkeyPatch.context() as patch:
        spec = dataclasses.replace(BASELINES["convnext_t"], tag="d2_in1k")
        patch.setitem(baselines.BASELINES, "convnext_t", spec)
        model = Baseline("convnext_t", pretrained=path)
        for name, value in model.backbone.state_dict().items():
            torch.testing.assert_close(value, whole[name], rtol=0, atol=0)
        save({name: value for name, value in whole.items() if "stages.1" not in name}, path)
        with pytest.raises(ConfigurationError, match="does not hold the weights of convnext_atto"):
            Baseline("convnext_t", pretrained=path)


def test_refusals_name_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'swin_b'"):
        Baseline("swin-b")  # type: ignore[arg-type]
    with pytest.raises(MissingPath, match=r"timm/tf_efficientnet_b4\.in1k from huggingface\.co"):
        Baseline("efficientnet_b4", pretrained=tmp_path / "absent.safetensors")
    with pytest.raises(ConfigurationError, match="nor 'fb_in1k'"):
        Baseline("deit_b", pretrained="in22k")
    with torch.device("meta"):
        model = Baseline("efficientnet_b4")
    with pytest.raises(ConfigurationError, match="takes 380 x 380"):
        model(torch.zeros(1, 3, 384, 384, device="meta"))
