"""Synthetic ultra-widefield eyes: pictures with known truth, for tests, training and demonstration.

They are drawn, not learned from patients, and diagnose nothing. Research use only.
"""

from realmnet_benchmarks.phantoms.cases import (
    CONFUSERS,
    PERIPHERAL_SIGNS,
    SIGNS,
    BorderKind,
    Eye,
    PhantomCase,
)
from realmnet_benchmarks.phantoms.dataset import Recipe, write_dataset
from realmnet_benchmarks.phantoms.hospitals import HOSPITALS, Hospital
from realmnet_benchmarks.phantoms.population import (
    BALANCED,
    FREQUENT_PERIPHERAL_SHARES,
    LABEL_COUNTS,
    NATURAL,
    PERIPHERAL_SHARES,
    Mix,
    draw_population,
)
from realmnet_benchmarks.phantoms.render import Phantom, render
from realmnet_benchmarks.phantoms.window import Window, place_window

__all__ = [
    "BALANCED",
    "CONFUSERS",
    "FREQUENT_PERIPHERAL_SHARES",
    "HOSPITALS",
    "LABEL_COUNTS",
    "NATURAL",
    "PERIPHERAL_SHARES",
    "PERIPHERAL_SIGNS",
    "SIGNS",
    "BorderKind",
    "Eye",
    "Hospital",
    "Mix",
    "Phantom",
    "PhantomCase",
    "Recipe",
    "Window",
    "draw_population",
    "place_window",
    "render",
    "write_dataset",
]
