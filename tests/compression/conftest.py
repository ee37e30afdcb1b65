"""Small networks that have learnt something, an exported file, and pictures to ask about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from realmnet_benchmarks.phantom_splits import SplitPlan, draw_splits
from realmnet_benchmarks.phantoms import write_dataset
from realmnet_benchmarks.records import read_psmm
from realmnet_compression.export_onnx import export_onnx
from realmnet_runtime.labels import PSMM
from realmnet_runtime.preprocess import PreprocessSpec, to_tensor
from realmnet_training.checkpoint import CheckpointFacts, architecture_of, save_checkpoint
from realmnet_training.losses import binary_cross_entropy
from realmnet_training.measuring.evaluation import compute_logits, facts_of
from realmnet_training.measuring.operating_points import fit_operating_point
from realmnet_training.model import RealMNet
from realmnet_training.pictures.prepared import PreparedSplit, prepare_split

SIZE = 64

Float32Array = npt.NDArray[np.float32]


def structured_pictures(count: int, seed: int) -> tuple[Float32Array, Float32Array]:
    """(N, 3, 64, 64) pictures of stripes and blobs, and 7 targets that can be read off them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    images = np.empty((count, 3, SIZE, SIZE), np.float32)
    targets = rng.integers(0, 2, (count, 7)).astype(np.float32)
    for image, target in zip(images, targets, strict=True):
        level = 0.3 + 0.2 * target[0]
        stripes = target[1] * np.sin(x * 60) + target[2] * np.sin(y * 60)
        blob = np.exp(-((x - 0.25 - 0.5 * target[3]) ** 2 + (y - 0.5) ** 2) * 40)
        shades = np.array([level, level * (0.4 + 0.4 * target[4]), 0.1 + 0.3 * target[5]])
        picture = shades[:, None, None] + 0.1 * stripes + (0.2 + 0.2 * target[6]) * blob
        image[:] = np.clip(picture + rng.normal(0, 0.02, picture.shape), 0, 1)
    return images, targets


@pytest.fixture(scope="session")
def trained() -> RealMNet:
    """A 5M network at 64 px after a few steps: batch norms calibrated, logits that vary."""
    torch.manual_seed(0)
    model = RealMNet("5m", SIZE)
    images, targets = (torch.from_numpy(part) for part in structured_pictures(96, seed=1))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    model.train()
    for step in range(36):
        rows = slice(step % 6 * 16, step % 6 * 16 + 16)
        loss = binary_cross_entropy(model(images[rows])[0], targets[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    calibrate_batch_norms(model, images)
    return model.eval()


def calibrate_batch_norms(model: RealMNet, images: torch.Tensor) -> None:
    """Set every running mean and variance to those of these images; a few steps do not reach."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None
    model.train()
    with torch.no_grad():
        for batch in images.split(48):
            model(batch)


@pytest.fixture(scope="session")
def exported(trained: RealMNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's FP32 file."""
    return export_onnx(trained, tmp_path_factory.mktemp("exported") / "fp32.onnx")


@pytest.fixture(scope="session")
def tensors() -> list[Float32Array]:
    """24 pictures (1, 3, 64, 64) the network has not seen."""
    images, _ = structured_pictures(24, seed=2)
    return [image[np.newaxis] for image in images]


@pytest.fixture(scope="session")
def release_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with phantoms and a checkpoint trained on them for seconds; others add to it."""
    root = tmp_path_factory.mktemp("release")
    plan = SplitPlan(train=24, dev=32, test=24, natural=0, images_per_patient=2, seed=3)
    write_dataset(root / "data", draw_splits(plan), height=128, width=160, workers=1)
    spec = PreprocessSpec(size=64)
    records = read_psmm(root / "data")
    train, development = (
        prepare_split(records[name], spec, root / "cache", 1) for name in ("train", "val")
    )
    model = overfitted(train, spec)
    logits = compute_logits(model, development, spec)
    facts = CheckpointFacts(
        architecture=architecture_of(model),
        label_set=PSMM,
        spec=spec,
        splits={"train": facts_of(train.split)},
        epochs=1,
        finished=True,
        operating_point=fit_operating_point(logits, development.split.labels, PSMM, "val"),
    )
    save_checkpoint(root / "checkpoint.safetensors", model, facts)
    return root


def overfitted(train: PreparedSplit, spec: PreprocessSpec) -> RealMNet:
    torch.manual_seed(0)
    model = RealMNet("5m", spec.size)
    images = torch.from_numpy(np.stack([to_tensor(p, spec) for p in train.pictures]))
    targets = torch.from_numpy(train.split.labels.astype(np.float32))
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    model.train()
    for step in range(30):
        rows = slice(step % 3 * 16, step % 3 * 16 + 16)
        loss = binary_cross_entropy(model(images[rows])[0], targets[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # a few steps do not carry the running statistics to the pictures' own
            module.reset_running_stats()
            module.momentum = None
    with torch.no_grad():
        model(images)
    return model.eval()
