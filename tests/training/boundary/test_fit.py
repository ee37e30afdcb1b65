"""Training on phantoms: the loss falls, a run resumes exactly, early stopping keeps the best."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.torch
import torch

from realmnet_runtime.errors import (
    BackendUnavailable,
    ConfigurationError,
    IntegrityError,
    MissingPath,
    UsageError,
)
from realmnet_training.boundary import (
    BoundaryPreset,
    load_boundary_checkpoint,
    load_boundary_preset,
    read_annotations,
    train_boundary,
)
from realmnet_training.boundary import fit as fit_module
from realmnet_training.boundary.checkpoint import part_facts, read_boundary_facts
from realmnet_training.boundary.fit import measure
from realmnet_training.boundary.partition import divide
from realmnet_training.boundary.prepared import PreparedPart, prepare_part, training_batches


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(
    tiny: BoundaryPreset, annotated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    run = tmp_path_factory.mktemp("runs") / "finished"
    train_boundary(tiny, annotated, run)
    return run


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]


def test_the_loss_falls_and_the_best_epoch_is_kept(
    finished: Path, tiny: BoundaryPreset, annotated: Path
) -> None:
    lines = lines_of(finished)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["loss"] < 0.8 * lines[0]["loss"]
    network, facts = load_boundary_checkpoint(finished / "checkpoint.safetensors")
    scores = [line["development"]["mean_iou"] for line in lines]
    assert facts.epoch == 1 + int(np.argmax(scores))
    assert facts.development == lines[facts.epoch - 1]["development"]
    assert facts.finished
    assert facts.synthetic
    assert facts.preset == tiny
    table = read_annotations(annotated)
    parts = divide(table, tiny.fit.seed)
    assert facts.table == table.digest
    assert facts.parts["test"] == part_facts(parts.test)
    prepared = prepare_part(parts.development, 64, "development")
    again = measure(network, prepared, batch=3)
    assert again.mean_iou == pytest.approx(facts.development["mean_iou"], abs=1e-3)
    assert not (finished / "resume.ckpt").exists()


def test_a_run_broken_off_between_epochs_ends_as_the_whole_one(
    finished: Path,
    tiny: BoundaryPreset,
    annotated: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = tmp_path / "broken"
    whole = fit_module._train_epoch

    def interrupted(*arguments: object) -> float:
        if arguments[-1] == 2:
            raise KeyboardInterrupt
        return whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(fit_module, "_train_epoch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_boundary(tiny, annotated, run)
    monkeypatch.undo()
    assert not read_boundary_facts(run / "checkpoint.safetensors").finished
    with pytest.raises(UsageError, match="already holds a run"):
        train_boundary(tiny, annotated, run)
    changed = load_boundary_preset("boundary_smoke", ["fit.lr=0.02"])
    with pytest.raises(ConfigurationError, match="another preset"):
        train_boundary(changed, annotated, run, resume=True)
    assert train_boundary(tiny, annotated, run, resume=True) == run / "checkpoint.safetensors"
    expected, resumed = (
        safetensors.torch.load_file(folder / "checkpoint.safetensors") for folder in (finished, run)
    )
    for name, value in expected.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-5)
    losses = [[line["loss"] for line in lines_of(folder)] for folder in (run, finished)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    # a finished run that is continued is left as it is
    before = (run / "checkpoint.safetensors").read_bytes()
    train_boundary(tiny, annotated, run, resume=True)
    assert (run / "checkpoint.safetensors").read_bytes() == before


def test_training_stops_when_nothing_gets_better(annotated: Path, tmp_path: Path) -> None:
    # at this rate no weight moves, so the first epoch stays the best
    preset = load_boundary_preset(
        "boundary_smoke",
        ["network.image=32", "fit.lr=1e-30", "fit.epochs=9", "fit.patience=2", "fit.threads=1"],
    )
    train_boundary(preset, annotated, tmp_path / "run")
    facts = read_boundary_facts(tmp_path / "run" / "checkpoint.safetensors")
    lines = lines_of(tmp_path / "run")
    assert len(lines) == facts.epoch + 2 < 9
    best = max(line["development"]["mean_iou"] for line in lines)
    assert facts.development["mean_iou"] == best


def test_other_annotations_cannot_continue_a_run(
    finished: Path, tiny: BoundaryPreset, annotated: Path, tmp_path: Path
) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    shutil.copytree(finished, run)
    shutil.copytree(annotated, other)
    rows = (other / "annotations.csv").read_text().splitlines()
    (other / "annotations.csv").write_text("\n".join(rows[:-1]) + "\n")
    with pytest.raises(ConfigurationError, match="begun with other annotations"):
        train_boundary(tiny, other, run, resume=True)


def test_a_loss_that_is_no_number_stops_with_the_cure(annotated: Path, tmp_path: Path) -> None:
    preset = load_boundary_preset(
        "boundary_smoke", ["network.image=32", "fit.lr=1e30", "fit.epochs=2", "fit.threads=1"]
    )
    with pytest.raises(ConfigurationError, match=r"the loss became .*lower fit\.lr"):
        train_boundary(preset, annotated, tmp_path / "run")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(annotated: Path, tmp_path: Path) -> None:
    preset = load_boundary_preset("boundary", ["fit.accelerator=gpu"])
    with pytest.raises(BackendUnavailable, match="'auto' or 'cpu'"):
        train_boundary(preset, annotated, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_batches_follow_from_seed_and_epoch_and_mirror_both() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((9, 8, 8)) < 0.5
    pictures = np.repeat(masks[..., None], 3, axis=3).astype(np.uint8)
    part = PreparedPart(pictures, masks)
    first, again, other = (
        list(training_batches(part, 4, 0.5, seed=1, epoch=epoch)) for epoch in (1, 1, 2)
    )
    assert [len(batch) for batch, _ in first] == [4, 4]  # a last batch of one is left out
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))
    for batch, targets in first + other:
        assert torch.equal(batch[:, 0].long(), targets)
    np.testing.assert_array_equal(pictures[..., 0], masks)


def test_foreign_checkpoints_are_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="does not exist"):
        load_boundary_checkpoint(tmp_path / "absent.safetensors")
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(IntegrityError, match="was not written by"):
        load_boundary_checkpoint(tmp_path / "foreign.safetensors")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes((finished / "checkpoint.safetensors").read_bytes()[:5000])
    with pytest.raises(IntegrityError, match="not a whole safetensors file"):
        load_boundary_checkpoint(cut)
    with safetensors.safe_open(finished / "checkpoint.safetensors", framework="pt") as file:
        header = file.metadata()
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors", header)
    with pytest.raises(IntegrityError, match="do not fit"):
        load_boundary_checkpoint(tmp_path / "other.safetensors")
