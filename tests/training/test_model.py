"""RealMNet's numbers, its head against worked vectors, its weights between image sizes."""

from __future__ import annotations

import copy
import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_training.model import CsraHead, RealMNet
from realmnet_training.networks.backbone import window_sizes
from realmnet_training.networks.position_bias import resize_position_biases, resize_table

Reader = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def small() -> RealMNet:
    torch.manual_seed(0)
    return RealMNet("5m", image=64).eval()


@pytest.mark.parametrize(("image", "parameters"), [(384, 20_661_552), (512, 20_699_184)])
def test_parameters_are_the_papers(image: int, parameters: int) -> None:
    with torch.device("meta"):
        model = RealMNet("21m", image=image)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_windows_are_the_papers_and_tile_their_grids() -> None:
    assert window_sizes(224) == (7, 7, 14, 7)
    assert window_sizes(384) == (12, 12, 24, 12)
    assert window_sizes(512) == (16, 16, 32, 16)
    assert window_sizes(112) == (7, 7, 7, 4)


@settings(deadline=None)
@given(st.integers(16, 160).map(lambda quarter: 4 * quarter))
def test_every_permitted_size_has_windows_that_tile(image: int) -> None:
    _, second, third, fourth = window_sizes(image)
    assert -(-image // 8) % second == 0
    assert third == -(-image // 16)
    assert fourth == -(-image // 32)


def test_csra_head_gives_the_worked_logits(vectors: Reader) -> None:
    worked = vectors("csra_head")
    features = torch.tensor(worked["features"], dtype=torch.float64)
    for case in worked["cases"]:
        weights = torch.tensor(case["head_weights"], dtype=torch.float64)
        head = CsraHead(features.shape[1], weights.shape[1], case["H"], case["lam"]).double()
        for convolution, weight in zip(head.heads, weights, strict=True):
            convolution.weight.data = weight[:, :, None, None]
        logits, maps = head(features)
        torch.testing.assert_close(
            logits, torch.tensor(case["logits"], dtype=torch.float64), rtol=1e-6, atol=1e-9
        )
        unit = weights / weights.norm(dim=2, keepdim=True)
        expected = torch.einsum("hlc,ncij->nlij", unit, features)
        torch.testing.assert_close(maps, expected, rtol=1e-9, atol=1e-12)


def released_value(name: str, shape: list[int]) -> torch.Tensor:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    raw: Any = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        raw = 1 + 0.1 * np.abs(raw)
    elif name.endswith("running_mean"):
        raw = 0.05 * raw
    elif len(shape) == 1 and name.endswith("weight"):
        raw = 1 + 0.1 * raw
    elif len(shape) == 1:
        raw = 0.05 * raw
    elif name.endswith("attention_biases"):
        raw = 0.2 * raw
    else:
        raw = raw * np.prod(shape[1:]) ** -0.5
    return torch.from_numpy(np.asarray(raw, np.float32))


def test_model_gives_the_released_codes_logits(vectors: Reader) -> None:
    worked = vectors("released_checkpoint")["models"]["5m_224"]
    model = RealMNet("5m", image=224).eval()
    renamed = {}
    for name, shape in worked["keys"].items():
        if shape == [] or name.endswith("attention_bias_idxs"):
            continue
        ours = (
            name.replace("conv2d", "conv")
            .replace("bn2d", "bn")
            .replace("patch_embed.seq.0", "patch_embed.conv1")
            .replace("patch_embed.seq.2", "patch_embed.conv2")
            .replace("head.csra_heads.", "head.heads.")
            .replace(".head.weight", ".weight")
            .replace("backbone.norm3", "backbone.head.norm")
        )
        for stage in (2, 1, 0):
            ours = ours.replace(f"stages.{stage}.downsample", f"stages.{stage + 1}.downsample")
        renamed[ours] = released_value(name, shape)
    missing, unexpected = model.load_state_dict(renamed, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    random = np.random.RandomState(42).random_sample((1, 3, 224, 224)).astype(np.float32)
    with torch.no_grad():
        logits, maps = model(torch.from_numpy(random))
        features = model.features(torch.from_numpy(random))
    torch.testing.assert_close(logits[0], torch.tensor(worked["logits"]), rtol=0, atol=1e-4)
    assert features.std().item() == pytest.approx(worked["feature_std"], abs=1e-4)
    assert maps.shape == (1, 7, 7, 7)


def test_an_evaluated_model_can_be_copied_and_answers_alike(small: RealMNet) -> None:
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    before = small(images)[0]
    after = copy.deepcopy(small)(images)[0]
    torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_answers_do_not_depend_on_the_other_images_of_a_batch(small: RealMNet) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        together = small(images)[0]
        alone = torch.cat([small(image[None])[0] for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 12), st.integers(2, 12))
def test_resized_tables_keep_offset_zero_the_far_corner_and_constants(old: int, new: int) -> None:
    generator = torch.Generator().manual_seed(old * 100 + new)
    table = torch.randn(3, old * old, generator=generator, dtype=torch.float64)
    resized = resize_table(table, new)
    assert resized.shape == (3, new * new)
    torch.testing.assert_close(resized[:, 0], table[:, 0])
    torch.testing.assert_close(resized[:, -1], table[:, -1])
    flat = resize_table(torch.full((1, old * old), 0.7, dtype=torch.float64), new)
    torch.testing.assert_close(flat, torch.full_like(flat, 0.7))


def test_weights_move_between_image_sizes_and_only_bias_tables_change(small: RealMNet) -> None:
    larger = RealMNet("5m", image=96)
    larger.load_resized(small.state_dict())
    converted = resize_position_biases(small.state_dict(), larger.state_dict())
    for name, value in larger.state_dict().items():
        torch.testing.assert_close(value, converted[name])
        if not name.endswith("attention_biases"):
            torch.testing.assert_close(value, small.state_dict()[name])
    assert larger(torch.rand(2, 3, 96, 96))[0].shape == (2, 7)


def test_local_weights_are_read_without_running_code(small: RealMNet, tmp_path: Path) -> None:
    state = small.backbone.state_dict()
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    torch.save({"model": state}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        model = RealMNet("5m", image=64, pretrained=tmp_path / name)
        for key, value in model.backbone.state_dict().items():
            torch.testing.assert_close(value, state[key])


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('code from a weights file ran')",))


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"model": Bomb()}, buffer)
    (tmp_path / "bomb.pth").write_bytes(buffer.getvalue())
    with pytest.raises(ConfigurationError, match="plain weights"):
        RealMNet("5m", image=64, pretrained=tmp_path / "bomb.pth")


def test_refusals_name_the_cure(small: RealMNet, tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match=r"huggingface\.co"):
        RealMNet("5m", image=64, pretrained=tmp_path / "absent.pth")
    with pytest.raises(ConfigurationError, match="did you mean 'in1k'"):
        RealMNet("5m", image=64, pretrained="in1kk")
    with pytest.raises(ConfigurationError, match="multiples of 4"):
        RealMNet("5m", image=225)
    with pytest.raises(ConfigurationError, match="1, 2, 4, 6, 8"):
        RealMNet("5m", image=64, heads=3)
    with pytest.raises(ConfigurationError, match="not those of a RealMNet 11m"):
        RealMNet("11m", image=64).load_resized(small.state_dict())
    with pytest.raises(ConfigurationError, match="64 x 64"):
        small(torch.rand(1, 3, 96, 96))
