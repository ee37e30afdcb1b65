"""Time of the input pipeline, one thread, and of a training step of the smallest network.

One round of the pipeline is 32 images at 384 px with the paper's probabilities, so that every
kind of change has its share; images per second and core are 32 over the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from realmnet_benchmarks.phantoms import draw_population, render
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, prepare, to_tensor
from realmnet_training.config import AsymmetricConfig, AugmentConfig
from realmnet_training.fitting.optimiser import build_loss, build_optimiser
from realmnet_training.model import RealMNet
from realmnet_training.pictures.augment import augment

IMAGES, SIDE = 32, 384
SPEC = PreprocessSpec(size=SIDE, deborder="off", decode="full")
AUGMENTATION = AugmentConfig()


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    yield
    cv2.setNumThreads(before[0])
    torch.set_num_threads(before[1])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """JPEGs of phantoms at the size of the released images."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for number, case in enumerate(draw_population(8, seed=3, images_per_patient=1)):
        drawn = np.ascontiguousarray(render(case, SIDE, SIDE).image[..., ::-1])
        paths.append(folder / f"{number}.jpg")
        cv2.imwrite(str(paths[-1]), drawn, [cv2.IMWRITE_JPEG_QUALITY, 94])
    return paths


def pipeline(pictures: Callable[[int], NDArray[np.uint8]], config: AugmentConfig) -> float:
    """Means of all tensors of a round; the same round has the same."""
    total = 0.0
    for number in range(IMAGES):
        random = np.random.default_rng((42, 2, 0, number))
        tensor = to_tensor(augment(pictures(number), config, random), SPEC)
        total += float(tensor[:, SIDE // 2].mean())
    return total / IMAGES


def test_augmenting_prepared_pictures(benchmark: BenchmarkFixture, files: list[Path]) -> None:
    """As a training reads them: decoded once, kept at the stage's size."""
    prepared = [prepare(read_image(path), SPEC) for path in files]
    found = benchmark(pipeline, lambda number: prepared[number % len(prepared)], AUGMENTATION)
    again = pipeline(lambda number: prepared[number % len(prepared)], AUGMENTATION)
    assert found == again
    assert 0.0 < found < 1.0


def test_decoding_and_augmenting(benchmark: BenchmarkFixture, files: list[Path]) -> None:
    """As if nothing was prepared: every JPEG is decoded anew."""
    found = benchmark(
        pipeline, lambda number: prepare(read_image(files[number % len(files)]), SPEC), AUGMENTATION
    )
    prepared = [prepare(read_image(path), SPEC) for path in files]
    assert found == pipeline(lambda number: prepared[number % len(prepared)], AUGMENTATION)


def test_a_training_step(benchmark: BenchmarkFixture) -> None:
    """RealMNet 5M, 8 images of 64 px, forward, backward and the optimiser's step."""
    torch.manual_seed(1)
    model = RealMNet("5m", image=64).train().to(memory_format=torch.channels_last)
    optimiser = build_optimiser(model, 1e-3, 0.05)
    loss_of = build_loss(AsymmetricConfig())
    images = torch.rand(8, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    targets = (torch.rand(8, 7) < 0.3).float()
    losses: list[float] = []

    def step() -> None:
        optimiser.zero_grad()
        loss = loss_of(model(images)[0], targets)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))

    benchmark.pedantic(step, rounds=20, warmup_rounds=2)  # type: ignore[no-untyped-call]
    assert losses[-1] < losses[0]
