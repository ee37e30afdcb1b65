"""A small annotated folder of synthetic phantoms."""

from __future__ import annotations

from pathlib import Path

import pytest

from realmnet_training.boundary import BoundaryPreset, load_boundary_preset
from realmnet_training.boundary.phantom_annotations import write_phantom_annotations


@pytest.fixture(scope="session")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 24 annotated phantoms of 12 patients, 96 by 120 pixels."""
    root = tmp_path_factory.mktemp("annotated") / "phantoms"
    return write_phantom_annotations(root, 12, seed=3, height=96)


@pytest.fixture(scope="session")
def tiny() -> BoundaryPreset:
    """Return a preset that trains three epochs at 64 pixels in seconds."""
    return load_boundary_preset(
        "boundary_smoke", ["network.image=64", "fit.epochs=3", "fit.patience=3", "fit.threads=1"]
    )
