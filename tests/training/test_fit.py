"""Training end to end on synthetic phantoms: it learns, resumes exactly, and fails early."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.torch
import torch
from lightning import Trainer
from matplotlib.artist import Artist

from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_training.checkpoint import load_checkpoint, read_facts
from realmnet_training.commands import evaluate, train
from realmnet_training.config import Preset, Stage, load_preset
from realmnet_training.fit import require_all_labels, train_preset
from realmnet_training.fitting.curves import draw_curves
from realmnet_training.fitting.keeper import EpochKeeper
from realmnet_training.fitting.learner import Learner
from realmnet_training.measuring.evaluation import compute_logits, facts_of
from realmnet_training.model import RealMNet
from realmnet_training.pictures.prepared import prepare_split

STAGES = (
    "fit.stages=[{image=64, epochs=4, batch=8, lr=1e-3, bce_epochs=3},"
    "{image=96, epochs=1, batch=8, lr=5e-4}]"
)
CHANGES = [STAGES, "preprocess.size=96", "model.drop_path=0.2", "fit.average=0.3"]


@pytest.fixture(scope="module")
def two_stages() -> Preset:
    return load_preset("smoke", CHANGES)


@pytest.fixture(scope="module")
def finished(
    two_stages: Preset, phantom_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    run = tmp_path_factory.mktemp("run") / "out"
    train_preset(two_stages, phantom_data, run)
    return run


def metrics_of(run: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]


@pytest.mark.slow
def test_a_run_leaves_a_checkpoint_that_says_how_it_came_to_be(
    finished: Path, two_stages: Preset, phantom_data: Path
) -> None:
    model, facts = load_checkpoint(finished / "checkpoint.safetensors")
    records = read_psmm(phantom_data)
    assert model.image == facts.spec.size == 96
    assert facts.finished
    assert facts.epochs == 5
    assert facts.preset == two_stages
    assert facts.splits["train"] == facts_of(records["train"])
    assert facts.splits["development"].digest == records["val"].digest
    assert facts.operating_point is not None
    assert facts.operating_point.fitted_on.startswith("val")
    places = [(line["epoch"], line["image"]) for line in metrics_of(finished)]
    assert places == [(1, 64), (2, 64), (3, 64), (4, 64), (5, 96)]
    assert not (finished / "resume.ckpt").exists()
    log = (finished / "log.txt").read_text().splitlines()
    assert log[:2] == ["train: 16 images", "val: 16 images"]
    assert [line.split(" done in ")[0] for line in log[2:]] == [
        *(f"stage 1 of 2 (64 px), epoch {epoch} of 4" for epoch in (1, 2, 3, 4)),
        "stage 2 of 2 (96 px), epoch 1 of 1",
    ]
    # the same lines give the same bytes, so what is there is the last epoch's
    title = "smoke, trained on synthetic phantoms, which diagnose nothing"
    assert (finished / "curves.png").read_bytes() == draw_curves(metrics_of(finished), title)
    with pytest.raises(UsageError, match="already holds a run"):
        train_preset(two_stages, phantom_data, finished)


@pytest.mark.slow
def test_nothing_of_an_epoch_stays_in_memory(
    phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[tuple[int, int]] = []
    whole = EpochKeeper.on_train_epoch_end

    def count(keeper: EpochKeeper, trainer: Trainer, module: object) -> None:
        whole(keeper, trainer, module)
        gc.collect()
        kinds = [type(value) for value in gc.get_objects()]
        tensors = sum(issubclass(kind, torch.Tensor) for kind in kinds)
        alive.append((tensors, sum(issubclass(kind, Artist) for kind in kinds)))

    monkeypatch.setattr(EpochKeeper, "on_train_epoch_end", count)
    changes = ["fit.stages=[{image=64, epochs=5, batch=4, lr=1e-3}]", "fit.average=0.5"]
    train_preset(load_preset("smoke", changes), phantom_data, tmp_path / "run")
    assert len(alive) == 5
    assert len(set(alive[1:])) == 1


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_weights(
    finished: Path, two_stages: Preset, phantom_data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "killed"
    script = (
        "import sys; from pathlib import Path; from realmnet_training.config import load_preset;"
        "from realmnet_training.fit import train_preset;"
        "train_preset(load_preset('smoke', sys.argv[3:]), Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(phantom_data), str(run), *CHANGES],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (run / "resume.ckpt").is_file():
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not read_facts(run / "checkpoint.safetensors").finished
    train_preset(two_stages, phantom_data, run, resume=True)
    expected = safetensors.torch.load_file(finished / "checkpoint.safetensors")
    resumed = safetensors.torch.load_file(run / "checkpoint.safetensors")
    assert expected.keys() == resumed.keys()
    # float noise differs between processes, and Adam turns the noise of a gradient that is zero
    # (a key's bias) into whole steps; so losses must agree closely, weights within a few steps
    for name, value in expected.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=4e-3)
    losses = [[line["loss"] for line in metrics_of(folder)] for folder in (run, finished)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
def test_a_run_broken_off_inside_an_epoch_ends_with_the_same_weights(
    phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [
        "fit.stages=[{image=64, epochs=3, batch=4, lr=1e-3}]",
        "fit.keep_every=1",
        "fit.threads=1",
        "model.drop_path=0.2",
        "fit.average=0.3",
    ]
    preset = load_preset("smoke", changes)
    train_preset(preset, phantom_data, tmp_path / "whole")
    stop_at = 6  # the second of four steps of the second epoch
    steps = itertools.count()
    whole_step = Learner.training_step

    def interrupted_step(
        learner: Learner, batch: tuple[torch.Tensor, torch.Tensor], batch_idx: int
    ) -> torch.Tensor:
        if next(steps) == stop_at:
            raise KeyboardInterrupt
        return whole_step(learner, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "training_step", interrupted_step)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train_preset(preset, phantom_data, tmp_path / "broken")
    train_preset(preset, phantom_data, tmp_path / "broken", resume=True)

    whole, resumed = (
        safetensors.torch.load_file(tmp_path / name / "checkpoint.safetensors")
        for name in ("whole", "broken")
    )
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name
    assert [line["loss"] for line in metrics_of(tmp_path / "broken")] == pytest.approx(
        [line["loss"] for line in metrics_of(tmp_path / "whole")], rel=1e-6
    )


@pytest.mark.slow
def test_training_fits_what_it_is_shown(phantom_data: Path, tmp_path: Path) -> None:
    preset = load_preset(
        "smoke",
        [
            "data.development=train",
            "fit.stages=[{image=64, epochs=30, batch=8, lr=2e-3, loss={type='bce'}}]",
            (
                "augment={erase=0, affine=0, flip_horizontal=0, flip_vertical=0, blur=0, jitter=0, "
                "noise=0}"
            ),
        ],
    )
    train_preset(preset, phantom_data, tmp_path / "run")
    metrics = read_facts(tmp_path / "run" / "checkpoint.safetensors").development_metrics
    assert metrics["ap_macro"] > 0.95


@pytest.mark.slow
def test_evaluate_prints_the_metrics_of_the_checkpoints_own_answers(
    finished: Path, phantom_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = finished / "checkpoint.safetensors"
    evaluate(checkpoint=checkpoint, data=phantom_data, split="val", as_json=True)
    answer: dict[str, Any] = msgspec.json.decode(capsys.readouterr().out)
    model, facts = load_checkpoint(checkpoint)
    assert answer["metrics"]["ap_macro"] == pytest.approx(facts.development_metrics["ap_macro"])
    assert answer["metrics"]["f1_per_label"] == pytest.approx(
        facts.development_metrics["f1_per_label"]
    )
    assert answer["split"]["images"] == 16
    assert answer["metrics"]["positives"] == list(facts.splits["development"].positives)
    evaluate(checkpoint=checkpoint, data=phantom_data, split="val")
    table = capsys.readouterr().out
    assert f"{answer['metrics']['ap_macro']:.4f}" in table
    prepared = prepare_split(read_psmm(phantom_data)["val"], facts.spec, tmp_path, workers=1)
    whole = compute_logits(model, prepared, facts.spec, batch=16)
    single = compute_logits(model, prepared, facts.spec, batch=1)
    np.testing.assert_allclose(whole, single, rtol=1e-3, atol=1e-4)


def test_resume_needs_the_run_that_was_begun(phantom_data: Path, tmp_path: Path) -> None:
    preset = load_preset("smoke")
    with pytest.raises(UsageError, match="no run to resume"):
        train_preset(preset, phantom_data, tmp_path / "none", resume=True)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "preset.json").write_bytes(msgspec.json.encode(preset))
    other = load_preset("smoke", ["fit.seed=43"])
    with pytest.raises(ConfigurationError, match="another preset"):
        train_preset(other, phantom_data, tmp_path / "begun", resume=True)


def test_a_label_absent_from_training_is_refused_by_name(phantom_data: Path) -> None:
    split = read_psmm(phantom_data)["train"]
    without = split.select(np.flatnonzero(split.labels[:, 6] == 0))
    with pytest.raises(ConfigurationError, match="no positive of MA"):
        require_all_labels(without)


def test_a_loss_that_is_no_number_stops_with_the_cure() -> None:
    stage = Stage(image=64, epochs=1, batch=2, lr=1e-3)
    preset = load_preset("smoke")
    model = RealMNet("5m", image=64)
    with torch.no_grad():
        next(model.head.parameters()).fill_(float("nan"))
    learner = Learner(model, stage, preset.fit, number=0, steps=1)
    with pytest.raises(ConfigurationError, match=r"lower fit\.stages\.0\.lr"):
        learner.training_step((torch.rand(2, 3, 64, 64), torch.zeros(2, 7)), 0)


def test_a_dry_run_prints_the_resolved_preset_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("realmnet", changes=["fit.seed=5"], dry_run=True, smoke=True, out=tmp_path / "run")
    printed = msgspec.json.decode(capsys.readouterr().out, type=Preset)
    assert printed.fit.seed == 5
    assert printed.fit.stages[0].epochs == 1
    assert not (tmp_path / "run").exists()
