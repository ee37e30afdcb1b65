"""The linear head: against timm's own heads, its score maps, and through a checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import LayerNorm2d

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import PSMM
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.checkpoint import (
    CheckpointFacts,
    architecture_of,
    load_checkpoint,
    save_checkpoint,
)
from realmnet_training.config import load_preset
from realmnet_training.model import LinearHead, RealMNet
from realmnet_training.networks.initial import build_model


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9), st.integers(1, 6), st.booleans(), st.integers(0, 2**31))
def test_logits_pool_then_norm_and_maps_average_to_them(
    channels: int, side: int, normed: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, channels, side, side + 1, generator=generator, dtype=torch.float64)
    head = LinearHead(channels, 3).double()
    norm = LayerNorm2d(channels).double() if normed else None
    with torch.no_grad():
        head.fc.bias.normal_(generator=generator)
        if norm is not None:
            norm.weight.normal_(generator=generator)
            norm.bias.normal_(generator=generator)
        logits, maps = head(features, norm)
        pooled = features.mean(dim=(2, 3), keepdim=True)
        expected = head.fc((norm(pooled) if norm is not None else pooled).flatten(1))
    assert maps.shape == (2, 3, side, side + 1)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(maps.mean(dim=(2, 3)), expected)


def test_realmnet_with_a_linear_head_answers_as_timms_classifier() -> None:
    torch.manual_seed(0)
    model = RealMNet("5m", 224, labels=7, head="linear").eval()
    theirs = timm.create_model("tiny_vit_5m_224", num_classes=7).eval()
    state = {f"backbone.{name}": value for name, value in theirs.state_dict().items()}
    head = {name: state.pop(f"backbone.{name}") for name in ("head.fc.weight", "head.fc.bias")}
    model.load_state_dict(state | head)
    images = torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        logits, maps = model(images)
        torch.testing.assert_close(logits, theirs(images), rtol=1e-4, atol=1e-5)
    assert maps.shape == (2, 7, 7, 7)


def test_a_linear_head_comes_back_from_its_checkpoint(tmp_path: Path) -> None:
    model = RealMNet("5m", 64, head="linear").eval()
    facts = CheckpointFacts(architecture_of(model), PSMM, PreprocessSpec(size=64))
    save_checkpoint(tmp_path / "c.safetensors", model, facts)
    loaded, _ = load_checkpoint(tmp_path / "c.safetensors")
    images = torch.rand(1, 3, 64, 64)
    assert loaded.head_kind == "linear"
    with torch.no_grad():
        torch.testing.assert_close(loaded(images)[0], model(images)[0], rtol=0, atol=0)


def test_a_preset_chooses_the_head() -> None:
    preset = load_preset("smoke", ["model.head=linear"])
    model = build_model(preset, preset.fit.stages[0], fresh=False)
    assert isinstance(model.head, LinearHead)
    assert build_model(load_preset("smoke"), preset.fit.stages[0], fresh=False).heads == 2


def test_impossible_heads_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="csra, linear"):
        RealMNet("5m", 64, head="mean")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="1 or more"):
        LinearHead(8, 0)
