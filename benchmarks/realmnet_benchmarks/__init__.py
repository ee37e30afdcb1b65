"""Benchmarks: tables of images, phantoms, metrics and measurements of the shipped bundle.

This floor never imports training: what is measured is the released bundle through the released
runtime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from realmnet_runtime.bundles.default_bundle import DEMONSTRATION_DIGEST

DEMONSTRATION_BUNDLE: Final[Path] = Path(__file__).with_name("demonstration.realmnet")
"""The packaged demonstration bundle; trained on synthetic phantoms, it diagnoses nothing."""

DEMONSTRATION_BUNDLE_SHA256: Final = DEMONSTRATION_DIGEST
"""Its digest: who installed this package need not be shown a signature of it."""

__all__ = ["DEMONSTRATION_BUNDLE", "DEMONSTRATION_BUNDLE_SHA256"]
