"""Phantoms, a teacher of ours, and a student's preset that takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from realmnet_benchmarks.phantom_splits import SplitPlan, draw_splits
from realmnet_benchmarks.phantoms import write_dataset
from realmnet_compression.distillation.teacher import Teacher, open_teacher
from realmnet_runtime.labels import PSMM
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.checkpoint import CheckpointFacts, architecture_of, save_checkpoint
from realmnet_training.config import Preset, load_preset
from realmnet_training.model import RealMNet

CHANGES = (
    "fit.stages=[{image=64, epochs=1, batch=2, steps=4, lr=1e-3}]",
    "fit.threads=1",
    "fit.keep_every=1",
    "fit.accelerator=cpu",
    "model.drop_path=0.2",
    "mix.mixup=0.4",
    "mix.cutmix=0.4",
)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of synthetic phantoms: 16 pictures each to train and develop."""
    root = tmp_path_factory.mktemp("phantoms")
    plan = SplitPlan(train=8, dev=8, test=0, natural=0, images_per_patient=2, seed=1)
    write_dataset(root, draw_splits(plan), height=96, width=120, workers=1)
    return root


@pytest.fixture(scope="session")
def teacher_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose answers depend on the picture, at another size than the student's."""
    torch.manual_seed(3)
    model = RealMNet("5m", 96).eval()
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    facts = CheckpointFacts(architecture_of(model), PSMM, PreprocessSpec(size=96))
    save_checkpoint(path, model, facts)
    return path


@pytest.fixture(scope="session")
def teacher(teacher_file: Path) -> Teacher:
    return open_teacher(teacher_file, PSMM)


@pytest.fixture(scope="session")
def student() -> Preset:
    return load_preset("smoke", CHANGES)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks run faster in one thread than in several that wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
