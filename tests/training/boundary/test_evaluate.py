"""Both ways to the mask in one table; what it was measured on is said everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from realmnet_benchmarks.masks import mask_counts, mask_metrics
from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.boundary import (
    BoundaryFacts,
    BoundaryNetwork,
    BoundaryPreset,
    boundary_mask,
    compare_masks,
    read_annotations,
)
from realmnet_training.boundary.checkpoint import part_facts, save_boundary_checkpoint
from realmnet_training.boundary.commands import boundary
from realmnet_training.boundary.evaluate import choose_part, comparison_table
from realmnet_training.boundary.partition import divide


@pytest.fixture(scope="module")
def network(tiny: BoundaryPreset) -> BoundaryNetwork:
    torch.manual_seed(0)
    return BoundaryNetwork(tiny.network.architecture, tiny.network.image).eval()


@pytest.fixture(scope="module")
def facts(tiny: BoundaryPreset, annotated: Path) -> BoundaryFacts:
    table = read_annotations(annotated)
    return BoundaryFacts(
        preset=tiny,
        table=table.digest,
        parts={"train": part_facts(divide(table, tiny.fit.seed).train)},
        synthetic=True,
        epoch=1,
        finished=True,
        development={},
        software={},
    )


def test_figures_are_those_of_the_masks_at_the_originals_pixels(
    network: BoundaryNetwork, facts: BoundaryFacts, annotated: Path
) -> None:
    table = read_annotations(annotated).select(range(6))
    found = compare_masks(network, facts, table, "all")
    both = [table.read(row) for row in range(6)]
    ours = mask_metrics(mask_counts(truth, boundary_mask(network, p)) for p, truth in both)
    theirs = mask_metrics(mask_counts(truth, find_field_of_view(p).mask) for p, truth in both)
    assert found.network["all"] == ours
    assert found.classical["all"] == theirs
    assert found.refused == 0
    kinds = {border: table.borders.count(border) for border in set(table.borders)}
    assert {k: m.images for k, m in found.network.items() if k != "all"} == kinds


def test_a_picture_the_classical_way_refuses_counts_as_an_empty_mask(
    network: BoundaryNetwork, facts: BoundaryFacts, annotated: Path, tmp_path: Path
) -> None:
    table = read_annotations(annotated).select([0])
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    black = cv2.imencode(".png", np.zeros((96, 120, 3), np.uint8))[1]
    (tmp_path / "images" / table.files[0]).write_bytes(black.tobytes())
    mask = (annotated / "masks" / table.masks[0]).read_bytes()
    (tmp_path / "masks" / table.masks[0]).write_bytes(mask)
    found = compare_masks(network, facts, replace(table, root=tmp_path), "all")
    assert found.refused == 1
    assert found.classical["all"].iou_inside == 0.0
    assert "1 pictures refused" in comparison_table(found)


def test_the_table_says_phantoms_beside_every_figure_and_prints_the_papers(
    network: BoundaryNetwork, facts: BoundaryFacts, annotated: Path
) -> None:
    table = choose_part(read_annotations(annotated), facts, "test")
    found = compare_masks(network, facts, table, "test")
    text = comparison_table(found)
    lines = text.splitlines()
    assert lines[0].startswith(f"measured on {len(table)} synthetic phantoms of")
    figures = [line for line in lines[2:-1] if not line.startswith("paper's set")]
    assert figures
    assert all("(phantoms)" in line for line in figures)
    assert "98.13 / 97.96" in text
    assert "95.86 / 94.82" in text
    real = comparison_table(replace(found, synthetic=False))
    assert "(phantoms)" not in real
    assert "annotated pictures" in real.splitlines()[0]


def test_parts_are_those_of_training_and_unknown_ones_are_refused(
    facts: BoundaryFacts, annotated: Path
) -> None:
    table = read_annotations(annotated)
    train, test = choose_part(table, facts, "train"), choose_part(table, facts, "test")
    assert part_facts(train) == facts.parts["train"]
    assert not set(train.patients) & set(test.patients)
    fewer = table.select(range(20))
    with pytest.raises(ConfigurationError, match="--part all"):
        choose_part(fewer, facts, "test")
    assert choose_part(fewer, facts, "all") is fewer
    with pytest.raises(ConfigurationError, match="choose from test, development, train, all"):
        choose_part(table, facts, "dev")


def test_the_command_prints_json_and_draws_a_sheet(
    network: BoundaryNetwork, facts: BoundaryFacts, annotated: Path, tmp_path: Path
) -> None:
    checkpoint, sheet = tmp_path / "c.safetensors", tmp_path / "sheet.png"
    save_boundary_checkpoint(checkpoint, network, facts)
    words = ["evaluate", "--checkpoint", str(checkpoint), "--data", str(annotated), "--json"]
    result = CliRunner().invoke(boundary, [*words, "--sheet", str(sheet)])
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = msgspec.json.decode(result.stdout)
    assert answer["synthetic"]
    assert "synthetic phantoms" in answer["measured_on"]
    assert answer["published"]["mean_iou"] == [0.9586, 0.9482]
    assert answer["network"]["all"]["images"] == answer["classical"]["all"]["images"]
    drawn = cv2.imread(str(sheet))
    assert drawn is not None
    assert drawn.shape[1] == 1200


def test_a_dry_run_prints_the_preset_and_missing_options_are_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(boundary, ["train", "boundary", "--dry-run", "--set", "fit.seed=5"])
    assert msgspec.json.decode(result.stdout, type=BoundaryPreset).fit.seed == 5
    assert CliRunner().invoke(boundary, ["train", "boundary"]).exit_code == 2


def test_the_phantoms_command_writes_what_train_reads(tmp_path: Path) -> None:
    words = ["phantoms", str(tmp_path / "out"), "--patients", "2", "--size", "96"]
    result = CliRunner().invoke(boundary, words)
    assert result.stdout.startswith("Annotations(4 pictures of 2 patients")
    assert len(read_annotations(tmp_path / "out")) == 4
