"""Worked vectors and a small synthetic data set for the tests of the training floor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from realmnet_benchmarks.phantom_splits import SplitPlan, draw_splits
from realmnet_benchmarks.phantoms import write_dataset

VECTORS = Path(__file__).parents[3] / "shared" / "reference" / "vectors"


@pytest.fixture(scope="session")
def vectors() -> Callable[[str], dict[str, Any]]:
    """Return a reader of one worked example; tests skip where the folder is absent."""

    def read(name: str) -> dict[str, Any]:
        path = VECTORS / f"{name}.json"
        if not path.is_file():
            pytest.skip("the worked vectors (../shared/reference/vectors) are not here")
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    return read


@pytest.fixture(scope="session")
def phantom_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data set of synthetic phantoms: 16 pictures each to train and develop."""
    root = tmp_path_factory.mktemp("phantoms")
    plan = SplitPlan(train=8, dev=8, test=4, natural=0, images_per_patient=2, seed=1)
    write_dataset(root, draw_splits(plan), height=128, width=160, workers=1)
    return root


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small networks run faster in one thread than in several that wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
