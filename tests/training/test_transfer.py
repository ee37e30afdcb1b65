"""Transfer to the peripheral labels: another's backbone, frozen stages, unknown labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from realmnet_benchmarks.metrics import multilabel_metrics
from realmnet_benchmarks.phantom_splits import SplitPlan, draw_splits
from realmnet_benchmarks.phantoms import write_dataset
from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.labels import PERIPHERAL
from realmnet_training.checkpoint import load_checkpoint
from realmnet_training.commands import evaluate
from realmnet_training.config import Preset, load_preset
from realmnet_training.data.pooling import pool
from realmnet_training.data.resampled import ResamplingConfig, resample
from realmnet_training.fit import train_preset
from realmnet_training.fitting.freezing import frozen_parts
from realmnet_training.model import RealMNet
from realmnet_training.networks.initial import build_model

SMALL = [
    "model.size=5m",
    "model.drop_path=0.1",
    "preprocess.size=64",
    "fit.workers=0",
    "fit.precision=fp32",
    "fit.threads=1",
    "fit.stages=[{image=64, epochs=1, batch=8, lr=1e-3}]",
]


@pytest.fixture(scope="module")
def peripheral_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("peripheral")
    plan = SplitPlan(
        train=8, dev=8, test=0, natural=0, images_per_patient=2, seed=5, labels="peripheral"
    )
    write_dataset(
        root, draw_splits(plan), height=96, width=120, label_set=PERIPHERAL, unknown_share=0.2
    )
    return root


@pytest.fixture(scope="module")
def psmm(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("psmm") / "run"
    changes = ["fit.stages.0.epochs=1", "fit.threads=1", "fit.stages.0.batch=8"]
    return train_preset(load_preset("smoke", changes), phantom_data, run)


def preset_from(checkpoint: Path, *changes: str) -> Preset:
    return load_preset("peripheral", [*SMALL, f"model.backbone={checkpoint}", *changes])


def state_of(parts: list[torch.nn.Module]) -> dict[str, Tensor]:
    return {
        f"{number}.{name}": value
        for number, part in enumerate(parts)
        for name, value in part.state_dict().items()
    }


def changed(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    assert one.keys() == other.keys()
    return {name for name, value in one.items() if not torch.equal(value, other[name])}


@pytest.mark.slow
def test_the_backbone_is_the_checkpoints_and_the_head_is_fresh(psmm: Path) -> None:
    source, _ = load_checkpoint(psmm)
    preset = preset_from(psmm)
    torch.manual_seed(7)
    model = build_model(preset, preset.fit.stages[0], fresh=True)
    assert isinstance(model, RealMNet)
    assert changed(model.backbone.state_dict(), source.backbone.state_dict()) == set()
    plain = load_preset("smoke", ["data.label_set=peripheral"])
    torch.manual_seed(7)
    fresh = build_model(plain, plain.fit.stages[0], fresh=True)
    assert changed(model.head.state_dict(), fresh.head.state_dict()) == set()
    assert model.labels == 5


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [0, 2, 4])
def test_frozen_stages_end_as_they_started_and_the_others_learn(
    frozen: int, psmm: Path, peripheral_data: Path, tmp_path: Path
) -> None:
    preset = preset_from(psmm, f"fit.freeze={frozen}", "fit.average=0.5")
    ended, facts = load_checkpoint(train_preset(preset, peripheral_data, tmp_path / "run"))
    torch.manual_seed(preset.fit.seed)
    started = build_model(preset, preset.fit.stages[0], fresh=True)
    assert isinstance(started, RealMNet)
    assert facts.label_set == PERIPHERAL
    # weights, and the means, variances and counts of batch norms
    kept = state_of(frozen_parts(started, frozen))
    assert any("running_mean" in name for name in kept) == (frozen > 0)
    assert changed(kept, state_of(frozen_parts(ended, frozen))) == set()
    first = state_of([*list(started.backbone.stages)[frozen:], started.head])
    last = state_of([*list(ended.backbone.stages)[frozen:], ended.head])
    assert len(changed(first, last)) > 0.9 * len(last)
    assert facts.development_metrics["auroc_macro"] is not None


@pytest.mark.slow
def test_metrics_of_a_checkpoint_are_those_of_the_known_labels(
    psmm: Path, peripheral_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    checkpoint = train_preset(preset_from(psmm), peripheral_data, run)
    evaluate(checkpoint=checkpoint, data=peripheral_data, split="val", as_json=True)
    answer: dict[str, Any] = msgspec.json.decode(capsys.readouterr().out)
    split = read_psmm(peripheral_data, PERIPHERAL, "mask")["val"]
    assert not split.known.all()
    assert answer["metrics"]["positives"] == split.labels.sum(axis=0).tolist()
    assert answer["split"]["digest"] == split.digest
    # a guess of one half everywhere, measured on known cells, is what chance gives on them
    half = multilabel_metrics(split.labels, np.full(split.labels.shape, 0.5), known=split.known)
    prevalence = split.labels.sum(axis=0) / split.known.sum(axis=0)
    np.testing.assert_allclose(half["ap_per_label"], prevalence)
    last = msgspec.json.decode((run / "metrics.jsonl").read_bytes().splitlines()[-1])
    assert last["development"]["positives"] == answer["metrics"]["positives"]
    assert np.isfinite(last["loss"])


def test_choices_of_tables_keep_what_is_unknown(peripheral_data: Path) -> None:
    records = read_psmm(peripheral_data, PERIPHERAL, "mask")
    pooled = pool("train", [records["train"], records["val"]])
    expected = np.concatenate([records["train"].known, records["val"].known])
    np.testing.assert_array_equal(pooled.known, expected)
    by_file = dict(zip(pooled.files, pooled.known.tolist(), strict=True))
    for method in ("ml_ros", "remedial"):
        drawn = resample(records["train"], ResamplingConfig(method, ratio=0.3))
        assert len(drawn) > len(records["train"])
        assert drawn.known.tolist() == [by_file[file] for file in drawn.files]


def test_what_a_transfer_needs_is_refused_early_with_the_cure(
    peripheral_data: Path, tmp_path: Path
) -> None:
    preset = load_preset("peripheral", SMALL)
    with pytest.raises(MissingPath, match=r"model\.backbone = 'psmm/checkpoint\.safetensors'"):
        train_preset(preset, peripheral_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigurationError, match=r"data\.unknown_labels = 'mask'.*exclude"):
        load_preset("smoke", ["data.unknown_labels=mask"])
