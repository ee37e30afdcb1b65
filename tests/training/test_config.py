"""Presets: what ships is valid, and what is misspelt or impossible is refused by name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_training.commands import shorten
from realmnet_training.config import (
    PRESETS,
    AsymmetricConfig,
    AugmentConfig,
    BatchMixConfig,
    BceConfig,
    Preset,
    load_preset,
)
from realmnet_training.data.resampled import ResamplingConfig
from realmnet_training.networks.baselines import BASELINES, BaselineName


@pytest.mark.parametrize("name", PRESETS)
def test_shipped_presets_are_valid_and_survive_json(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert msgspec.json.decode(msgspec.json.encode(preset), type=Preset) == preset
    assert [stage.epochs for stage in shorten(preset).fit.stages] == [1] * len(preset.fit.stages)


def test_the_papers_preset_holds_the_papers_numbers() -> None:
    preset = load_preset("realmnet")
    (stage,) = preset.fit.stages
    assert (preset.model.size, stage.image, stage.epochs, stage.batch) == ("21m", 384, 50, 16)
    assert (stage.lr, stage.lr_end, stage.warm_up * stage.epochs) == (1e-4, 1e-6, 5.0)
    assert stage.loss == AsymmetricConfig(gamma_pos=3.0, gamma_neg=4.0, clip=0.0)
    assert (preset.model.heads, preset.model.lam, preset.model.drop_path) == (2, 1.2, 0.5)
    assert (preset.fit.seed, preset.fit.weight_decay, preset.fit.clip) == (42, 0.05, 1.0)
    assert preset.mix == BatchMixConfig(0.3, 0.6, 0.3, 1.0)
    assert preset.augment == AugmentConfig()
    assert (stage.cosine_by, preset.fit.average, preset.fit.freeze) == ("epoch", 0.0, 0)
    assert preset.data.resampling == ResamplingConfig("ml_rus", 0.2, 42)
    assert (preset.preprocess.mean, preset.preprocess.std) == ((0.0,) * 3, (1.0,) * 3)


def test_realmnet_max_is_realmnet_at_512_px() -> None:
    changes = ["name=realmnet_max", "preprocess.size=512", "fit.stages.0.image=512"]
    larger = load_preset("realmnet_max")
    expected = load_preset("realmnet", [*changes, f"description={larger.description}"])
    assert larger == expected


@pytest.mark.parametrize("name", BASELINES)
def test_the_compared_networks_share_all_but_network_head_and_loss(name: BaselineName) -> None:
    spec, preset, ours = BASELINES[name], load_preset(name), load_preset("realmnet")
    assert (preset.model.network, preset.model.drop_path) == (name, 0.5)
    assert preset.model.pretrained == spec.tag
    expected = replace(ours.fit.stages[0], image=spec.image, lr=spec.lr, loss=BceConfig(alpha=None))
    assert preset.fit == replace(ours.fit, stages=(expected,))
    assert preset.preprocess == replace(ours.preprocess, size=spec.image)
    assert (preset.data, preset.augment, preset.mix) == (ours.data, ours.augment, ours.mix)


def test_none_takes_a_value_out_where_there_may_be_none() -> None:
    authors = ["data.train=train_mlrus-20", "data.resampling=none", "model.pretrained = none"]
    preset = load_preset("realmnet", authors)
    assert (preset.data.resampling, preset.model.pretrained) == (None, None)
    assert load_preset("smoke", ["description='none'"]).description == "none"
    with pytest.raises(ConfigurationError, match="int"):
        load_preset("smoke", ["fit.seed=none"])


def test_changes_reach_nested_keys_and_entries_of_arrays() -> None:
    preset = load_preset(
        "smoke",
        [
            "fit.seed=7",
            "fit.stages.0.loss={type='asymmetric', gamma_neg=2}",
            "augment.blur = 0.5",
            "description=a plain string",
        ],
    )
    assert preset.fit.seed == 7
    assert preset.fit.stages[0].loss == AsymmetricConfig(gamma_neg=2.0)
    assert preset.augment.blur == 0.5
    assert preset.description == "a plain string"
    assert load_preset("smoke").fit.stages[0].loss == BceConfig()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("fit.sed=7", "did you mean 'seed'"),
        ("fit.seed=many", "int"),
        ("fit.stages.4.epochs=1", "from 0 to 0"),
        ("name.deeper=1", "holds a value"),
        ("name.far.deeper=1", "lies below a value"),
        ("fit.seed", "must look like"),
        ("preprocess.size=96", "the last stage trains at 64 px"),
        ("augment.blur=1.5", "<= 1"),
        ("model.heads=3", "1, 2, 4, 6, 8"),
        ("data.label_set=psm", "did you mean 'psmm'"),
        ("fit.stages.0.lr_end=1.0", "above lr"),
        ("fit.stages.0.bce_epochs=9", "at most all"),
        ("fit.stages=[]", "at least one stage"),
        ("mix={mixup=0.7, cutmix=0.7}", "exceed 1"),
    ],
)
def test_impossible_changes_are_refused_with_the_cure(change: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        load_preset("smoke", [change])


def test_presets_that_are_not_there_or_no_toml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingPath, match="did you mean 'smoke'"):
        load_preset("smoek")
    with pytest.raises(MissingPath, match="does not exist"):
        load_preset(str(tmp_path / "absent.toml"))
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(ConfigurationError, match="not TOML"):
        load_preset(str(tmp_path / "broken.toml"))
