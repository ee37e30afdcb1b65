"""Presets: what ships is valid, and what is misspelt or impossible is refused by name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_training.commands import shorten
from realmnet_training.config import PRESETS, AsymmetricConfig, BceConfig, Preset, load_preset


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
    assert (preset.mix.mixup, preset.mix.cutmix) == (0.3, 0.3)


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
