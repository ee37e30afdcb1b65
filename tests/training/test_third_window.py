"""A smaller attention window in stage 3: the original's weights, restricted to what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import PERIPHERAL, PSMM, LabelSet
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.checkpoint import (
    CheckpointFacts,
    architecture_of,
    load_checkpoint,
    save_checkpoint,
)
from realmnet_training.config import Preset, load_preset
from realmnet_training.model import RealMNet
from realmnet_training.networks.architectures import Architecture
from realmnet_training.networks.backbone import window_sizes
from realmnet_training.networks.complexity import measure_complexity
from realmnet_training.networks.initial import build_model
from realmnet_training.networks.position_bias import crop_table

SMALL = [
    "model.size=5m",
    "preprocess.size=64",
    "fit.stages=[{image=64, epochs=1, batch=8, lr=1e-3}]",
    "model.third_window=2",
]


def network(labels: int = 7, third_window: int = 0) -> RealMNet:
    torch.manual_seed(3)
    model = RealMNet("5m", 64, labels, third_window=third_window).eval()
    for name, table in model.named_parameters():
        if name.endswith("attention_biases"):
            torch.nn.init.normal_(table)
    return model


def write(path: Path, model: RealMNet, labels: LabelSet = PSMM) -> Path:
    save_checkpoint(
        path, model, CheckpointFacts(architecture_of(model), labels, PreprocessSpec(64))
    )
    return path


@pytest.fixture(scope="module")
def original() -> RealMNet:
    return network()


@pytest.fixture(scope="module")
def slim(original: RealMNet) -> RealMNet:
    model = RealMNet("5m", 64, third_window=2).eval()
    model.load_resized(original.state_dict())
    return model


@given(st.integers(2, 9), st.data())
def test_a_cropped_table_keeps_the_bias_of_every_offset_that_is_left(
    side: int, data: st.DataObject
) -> None:
    window = data.draw(st.integers(1, side))
    table = torch.arange(2.0 * side * side).view(2, -1)
    cropped = crop_table(table, window)
    for down in range(window):
        for right in range(window):
            expected = table[:, down * side + right]
            assert torch.equal(cropped[:, down * window + right], expected)


def test_only_tables_of_stage_3_change(original: RealMNet, slim: RealMNet) -> None:
    kept = original.state_dict()
    changed = {name for name, value in slim.state_dict().items() if value.shape != kept[name].shape}
    assert {name.rsplit(".", 1)[1] for name in changed} == {"attention_biases"}
    assert len(changed) == 6
    assert all(name.startswith("backbone.stages.2.blocks.") for name in changed)
    for name, value in slim.state_dict().items():
        assert name in changed or torch.equal(value, kept[name])
    assert slim.state_dict().keys() == kept.keys()


def test_inside_a_window_attention_is_the_originals_restricted_to_it(
    original: RealMNet, slim: RealMNet
) -> None:
    whole = cast("Any", original.backbone.stages[2]).blocks[1]
    windowed = cast("Any", slim.backbone.stages[2]).blocks[1]
    place = torch.arange(16)
    tile = place // 4 // 2 * 2 + place % 4 // 2
    together = tile[:, None] == tile[None, :]
    biases = whole.attn.gathered_biases()
    for number in range(4):
        rows = (tile == number).nonzero().flatten()
        restricted = biases[:, rows][:, :, rows]
        torch.testing.assert_close(windowed.attn.gathered_biases(), restricted, rtol=0, atol=0)
    tokens = torch.randn(2, 4, 4, 160, generator=torch.Generator().manual_seed(5))
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        found = windowed._attend(tokens)
        free = whole._attend(tokens)
        # tokens of other windows get no weight at all
        masked = torch.where(together, biases, -torch.inf)
        patch.setattr(whole.attn, "gathered_biases", lambda: masked)
        expected = whole._attend(tokens)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(found, free, atol=1e-3)


def test_a_window_of_the_whole_grid_is_the_default(original: RealMNet) -> None:
    model = RealMNet("5m", 64, third_window=4).eval()
    model.load_resized(original.state_dict())
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for ours, theirs in zip(model(images), original(images), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    assert window_sizes(384, 24) == window_sizes(384)


def test_parameters_and_products_of_the_slim_21m_are_those_counted_by_hand() -> None:
    with torch.device("meta"):
        whole = measure_complexity(RealMNet("21m", 384), 384)
        slim = measure_complexity(RealMNet("21m", 384, third_window=12), 384)
    heads, channels, blocks = 12, 384, 6
    assert slim.parameters == whole.parameters - blocks * heads * (24**2 - 12**2) == 20_630_448
    saved = blocks * 2 * channels * (24**4 - 4 * 12**4)
    assert whole.attention_macs - slim.attention_macs == saved
    assert whole.macs - slim.macs == saved
    assert saved / whole.attention_macs > 0.5


@pytest.mark.parametrize("window", [1, 5, 48, -12])
def test_a_window_that_does_not_tile_names_those_that_do(window: int) -> None:
    with pytest.raises(ConfigurationError, match=r"24 x 24 .* 2, 3, 4, 6, 8, 12, 24 do"):
        window_sizes(384, window)


def test_every_stage_of_a_preset_must_take_the_window() -> None:
    assert load_preset("slim_21m").model.third_window == 12
    stages = "fit.stages=[{image=128, epochs=1, batch=8, lr=1e-3}, "
    stages += "{image=384, epochs=1, batch=8, lr=1e-3}]"
    with pytest.raises(ConfigurationError, match=r"third_window = 12 .* 8 x 8 tokens at 128 px"):
        load_preset("slim_21m", [stages])
    with pytest.raises(ConfigurationError, match=r"model\.third_window is RealMNet's"):
        load_preset("swin_b", ["model.third_window=12"])
    with pytest.raises(ConfigurationError, match=r"name it in model\.backbone"):
        load_preset("slim_21m", ["model.backbone=none"])


def test_a_checkpoint_tells_its_window_and_older_ones_have_the_whole_grid(
    slim: RealMNet, tmp_path: Path
) -> None:
    loaded, facts = load_checkpoint(write(tmp_path / "slim.safetensors", slim))
    assert loaded.third_window == 2
    assert facts.architecture == architecture_of(slim)
    older = {"network": "realmnet", "size": "5m", "image": 64, "labels": 7, "heads": 2, "lam": 1.2}
    assert msgspec.convert(older, Architecture).third_window == 0


def preset_from(checkpoint: Path, *changes: str) -> Preset:
    return load_preset("slim_21m", [*SMALL, f"model.backbone={checkpoint}", *changes])


def started(preset: Preset) -> RealMNet:
    model = build_model(preset, preset.fit.stages[0], fresh=True)
    assert isinstance(model, RealMNet)
    return model


def test_a_slim_network_starts_as_the_original_with_its_head(
    original: RealMNet, slim: RealMNet, tmp_path: Path
) -> None:
    path = write(tmp_path / "original.safetensors", original)
    model = started(preset_from(path))
    for name, value in model.state_dict().items():
        assert torch.equal(value, slim.state_dict()[name]), name
    fresh = started(preset_from(path, "model.keep_head=false"))
    assert not torch.equal(fresh.csra_head.heads[0].weight, original.csra_head.heads[0].weight)


def test_what_cannot_be_carried_is_refused_with_the_cure(
    original: RealMNet, slim: RealMNet, tmp_path: Path
) -> None:
    thin = write(tmp_path / "slim.safetensors", slim)
    with pytest.raises(ConfigurationError, match=r"set model\.third_window=2 or"):
        started(preset_from(thin, "model.third_window=0"))
    with pytest.raises(ConfigurationError, match=r"set third_window to 2 or less"):
        started(preset_from(thin, "model.third_window=4"))
    other = write(tmp_path / "other.safetensors", network(labels=5), PERIPHERAL)
    with pytest.raises(ConfigurationError, match=r"of 5 labels.*model\.keep_head=false"):
        started(preset_from(other))
    path = write(tmp_path / "original.safetensors", original)
    with pytest.raises(ConfigurationError, match=r"heads 2, lam 1\.2.*heads 4"):
        started(preset_from(path, "model.heads=4"))
