"""Recipes: the shipped one, and files that say something impossible."""

from __future__ import annotations

from pathlib import Path

import pytest

from realmnet_compression.recipe import RECIPES, load_recipe
from realmnet_runtime.errors import ConfigurationError, MissingPath

SHIPPED = Path(__file__).parents[2] / "compression" / "realmnet_compression" / "recipes"


def changed(tmp_path: Path, old: str, new: str) -> str:
    text = (SHIPPED / "demonstration.toml").read_text()
    assert old in text
    path = tmp_path / "changed.toml"
    path.write_text(text.replace(old, new))
    return str(path)


def test_every_shipped_recipe_loads() -> None:
    assert {path.stem for path in SHIPPED.glob("*.toml")} == set(RECIPES)
    for name in RECIPES:
        assert load_recipe(name).variants


def test_the_demonstration_says_what_it_is() -> None:
    recipe = load_recipe("demonstration")

    assert recipe.notice == (
        "trained on synthetic phantoms: demonstrates the pipeline, diagnoses nothing"
    )
    assert recipe.limits.bundle_bytes == 8_000_000
    assert recipe.limits.flips == recipe.limits.ap_loss == 0.01
    assert recipe.quantisation.most_flips < recipe.limits.flips
    fallbacks = {plan.engine for plan in recipe.variants if plan.execution == "fp32"}
    assert fallbacks == {"onnxruntime", "openvino"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("check_pictures", "check_picture", r"check_picture.*did you mean 'check_pictures'"),
        ("most_flips = 0.006", "most_flip = 0.006", r"did you mean 'most_flips'"),
        ('label_set = "psmm"', 'label_set = "psm"', r"did you mean 'psmm'"),
        ('evidence = ["test", "test_natural"]', 'evidence = ["val"]', "cannot be their evidence"),
        ('evidence = ["test", "test_natural"]', "evidence = []", "evidence"),
        ('execution = "int8"', 'execution = "fp32"', "no int8 variant"),
        ('engine = "openvino"', 'engine = "openvine"', "openvine"),
        ("flips = 0.01", "flips = 1.5", "1"),
        ("[limits]", "[limits", "no TOML"),
    ],
)
def test_impossible_recipes_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_recipe(changed(tmp_path, old, new))


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(MissingPath, match="did you mean 'demonstration'"):
        load_recipe("demonstation")
