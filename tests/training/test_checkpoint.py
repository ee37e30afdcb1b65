"""Checkpoints: what was saved comes back; what was changed or cut is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import safetensors.torch
import torch

from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import ConfigurationError, IntegrityError, MissingPath, OutputError
from realmnet_runtime.labels import PSMM
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.checkpoint import (
    CheckpointFacts,
    architecture_of,
    load_checkpoint,
    read_facts,
    save_checkpoint,
)
from realmnet_training.config import load_preset
from realmnet_training.model import RealMNet


@pytest.fixture(scope="module")
def model() -> RealMNet:
    torch.manual_seed(1)
    return RealMNet("5m", image=64, heads=4, lam=0.8).eval()


@pytest.fixture(scope="module")
def facts(model: RealMNet) -> CheckpointFacts:
    values = dict.fromkeys(PSMM.names, 0.25)
    return CheckpointFacts(
        architecture=architecture_of(model),
        label_set=PSMM,
        spec=PreprocessSpec(size=64),
        preset=load_preset("smoke"),
        operating_point=OperatingPoint(values, values, "val"),
    )


def test_a_checkpoint_comes_back_with_equal_answers(
    model: RealMNet, facts: CheckpointFacts, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, model, facts)
    loaded, read = load_checkpoint(path)
    assert read == facts == read_facts(path)
    assert not loaded.training
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(model(images), loaded(images), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_damaged_and_foreign_files_are_refused(
    model: RealMNet, facts: CheckpointFacts, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(MissingPath, match="does not exist"):
        load_checkpoint(path)
    save_checkpoint(path, model, facts)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError, match="not a whole"):
        load_checkpoint(path)
    safetensors.torch.save_file(model.state_dict(), path)
    with pytest.raises(IntegrityError, match="realmnet train"):
        load_checkpoint(path)
    header = {"realmnet": msgspec.json.encode(facts).decode()}
    safetensors.torch.save_file({"other": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(IntegrityError, match="do not fit"):
        load_checkpoint(path)


def test_facts_that_contradict_each_other_cannot_exist(
    model: RealMNet, facts: CheckpointFacts, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="must agree"):
        msgspec.structs.replace(
            facts, architecture=msgspec.structs.replace(facts.architecture, labels=5)
        )
    with pytest.raises(ConfigurationError, match="must name the labels"):
        msgspec.structs.replace(facts, operating_point=OperatingPoint({"PS": 1.0}, {}, "val"))
    with pytest.raises(ConfigurationError, match="version"):
        msgspec.structs.replace(facts, version=99)
    with pytest.raises(ConfigurationError, match="facts of"):
        save_checkpoint(tmp_path / "c.safetensors", RealMNet("5m", image=64), facts)


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    model: RealMNet, facts: CheckpointFacts, tmp_path: Path
) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    with pytest.raises(OutputError):
        save_checkpoint(folder, model, facts)
    with pytest.raises(OutputError):
        save_checkpoint(tmp_path / "absent" / "c.safetensors", model, facts)
