"""A recipe run on the phantoms and the checkpoint of the release folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from realmnet_compression.compressing.recipe import CompressionRecipe
from realmnet_compression.compressing.run import CompressionReport, compress


def run(
    home: Path,
    recipe: CompressionRecipe,
    out: Path,
    tell: Callable[[str], None] = lambda _: None,
    checkpoint: str = "checkpoint.safetensors",
) -> CompressionReport:
    return compress(recipe, home / checkpoint, home / "data", out, cache=home / "cache", tell=tell)
