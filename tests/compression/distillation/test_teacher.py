"""Teachers: they answer as their own network does, and others are refused with the cure."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import timm
import timm.data
import torch
from torch.nn import functional

from realmnet_compression.distillation.teacher import Teacher, open_teacher
from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath
from realmnet_runtime.files import sha256_of
from realmnet_runtime.labels import PERIPHERAL, PSMM
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.checkpoint import load_network
from realmnet_training.model import RealMNet

SMALL = "test_resnet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of timm's smallest network with a head of seven labels."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("timm") / "weights.safetensors"
    model = timm.create_model(SMALL, pretrained=False, num_classes=7)
    safetensors.torch.save_file(model.state_dict(), path)
    return path


def test_a_checkpoint_answers_resized_pictures_in_evaluation_mode(
    teacher: Teacher, teacher_file: Path
) -> None:
    model, _ = load_network(teacher_file)
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    larger = functional.interpolate(images, size=(96, 96), mode="bilinear")
    with torch.no_grad():
        expected = model(larger)
    with torch.autocast("cpu", torch.bfloat16):
        found = teacher.answer(images)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours is not None
        assert not ours.requires_grad
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert teacher.facts.digest == sha256_of(teacher_file)
    assert (teacher.facts.network, teacher.facts.image) == ("RealMNet 5m", 96)


def test_a_checkpoint_answers_at_another_size_with_resized_biases(teacher_file: Path) -> None:
    source, _ = load_network(teacher_file)
    expected = RealMNet("5m", 64).eval()
    expected.load_resized(source.state_dict())
    teacher = open_teacher(teacher_file, PSMM, image=64)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(teacher.answer(images)[0], expected(images)[0])
    assert teacher.facts.image == 64


def test_a_timm_model_answers_as_timm_normalises(weights: Path) -> None:
    teacher = open_teacher(weights, PSMM, SMALL)
    model = timm.create_model(SMALL, pretrained=False, num_classes=7).eval()
    model.load_state_dict(safetensors.torch.load_file(weights))
    config = timm.data.resolve_data_config({}, model=model)
    side = config["input_size"][-1]
    images = torch.rand(2, 3, side, side)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        expected = model((images - mean) / std)
    logits, maps = teacher.answer(images)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
    assert maps is None
    assert not teacher.facts.score_maps


def test_a_teacher_whose_answer_is_not_finite_is_refused(teacher_file: Path) -> None:
    teacher = open_teacher(teacher_file, PSMM)
    with pytest.raises(ConfigurationError, match="not finite"):
        teacher.answer(torch.full((1, 3, 96, 96), torch.nan))


def test_other_labels_are_refused_and_both_are_named(teacher_file: Path, weights: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"'psmm' \(NoPS, .*'peripheral' \(NoPL, "):
        open_teacher(teacher_file, PERIPHERAL)
    with pytest.raises(ConfigurationError, match=r"7 outputs and label set 'peripheral' 5 labels"):
        open_teacher(weights, PERIPHERAL, SMALL)


def test_pictures_normalised_otherwise_are_refused(teacher: Teacher) -> None:
    teacher.require_pictures_of(PreprocessSpec(size=384))
    with pytest.raises(ConfigurationError, match=r"takes pictures of mean \(0.0, .* \(0.5, "):
        teacher.require_pictures_of(PreprocessSpec(size=384, mean=(0.5, 0.5, 0.5)))


def test_files_of_another_network_are_refused_with_the_cure(
    teacher_file: Path, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="name the network with --timm"):
        open_teacher(weights, PSMM)
    with pytest.raises(ConfigurationError, match="weights of timm's 'test_vit'"):
        open_teacher(weights, PSMM, "test_vit")
    with pytest.raises(ConfigurationError, match="did you mean 'test_resnet'"):
        open_teacher(weights, PSMM, "test_resnt")
    with pytest.raises(ConfigurationError, match="does not hold the weights of timm's"):
        open_teacher(teacher_file, PSMM, SMALL)
    with pytest.raises(ConfigurationError, match="answers at 160 px, not 96"):
        open_teacher(weights, PSMM, SMALL, image=96)
    with pytest.raises(MissingPath, match="does not exist"):
        open_teacher(tmp_path / "none.safetensors", PSMM)
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(teacher_file.read_bytes()[:1000])
    with pytest.raises(IntegrityError, match="not a whole safetensors file"):
        open_teacher(torn, PSMM)
