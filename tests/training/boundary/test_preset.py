"""Presets of segmentation: the paper's numbers, and refusals by name."""

from __future__ import annotations

import msgspec
import pytest

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_training.boundary.preset import (
    BOUNDARY_PRESETS,
    BoundaryPreset,
    load_boundary_preset,
)


@pytest.mark.parametrize("name", BOUNDARY_PRESETS)
def test_shipped_presets_are_valid_and_survive_json(name: str) -> None:
    preset = load_boundary_preset(name)
    assert preset.name == name
    assert msgspec.json.decode(msgspec.json.encode(preset), type=BoundaryPreset) == preset


def test_the_papers_preset_holds_the_papers_numbers() -> None:
    preset = load_boundary_preset("boundary")
    assert preset.network.architecture == "deeplabv3_resnet50"
    assert (preset.fit.lr, preset.fit.momentum, preset.fit.batch) == (0.01, 0.9, 4)
    assert preset.network.weights is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("fit.patiense=3", "did you mean 'patience'"),
        ("network.archtecture=x", "did you mean 'architecture'"),
        ("network.architecture=unet", "unet"),
        ("fit.batch=1", ">= 2"),
        ("fit.lr=0", "> 0"),
        ("fit.momentum=1.0", "< 1"),
        ("network.image=16", ">= 32"),
        ("fit.epochs", "must look like"),
    ],
)
def test_impossible_changes_are_refused_with_the_cure(change: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_boundary_preset("boundary", [change])


def test_an_absent_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(MissingPath, match="did you mean 'boundary'"):
        load_boundary_preset("boundry")
