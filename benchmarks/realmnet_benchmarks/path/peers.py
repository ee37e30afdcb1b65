"""The stand-alone scripts beside this package, and what of a bundle they need as plain files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import msgspec

from realmnet_runtime import Bundle
from realmnet_runtime.bundles.manifest import Variant
from realmnet_runtime.errors import MissingPath

PEERS: Final = Path(__file__).parents[2] / "peers"
"""In a checkout; they are run by path, never imported, and no wheel holds them."""


def peer(name: str) -> list[str]:
    """The command that runs a script of the peers.

    Raises:
        MissingPath: it is not there.
    """
    script = PEERS / f"{name}.py"
    if not script.is_file():
        raise MissingPath(f"no script {script}; measure from a checkout, whose benchmarks/ has it")
    return [sys.executable, str(script)]


def write_model(bundle: Bundle, variant: Variant, folder: Path) -> Path:
    """A variant's model as a plain file, with its weights beside it as OpenVINO looks for them."""
    model, weights = bundle.read_model(variant)
    place = folder / f"{variant.name}{Path(variant.artifact).suffix}"
    place.write_bytes(model)
    if weights:
        place.with_suffix(".bin").write_bytes(weights)
    return place


def write_point(bundle: Bundle, variant: Variant, folder: Path) -> Path:
    """A variant's operating point as the plain routes read it."""
    names, point = bundle.manifest.labels.names, variant.operating_point
    said = {
        "labels": names,
        "temperatures": [point.temperatures[name] for name in names],
        "thresholds": [point.thresholds[name] for name in names],
    }
    place = folder / f"{variant.name}.point.json"
    place.write_bytes(msgspec.json.encode(said))
    return place
