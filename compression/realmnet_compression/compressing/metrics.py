"""Figures of a variant: how large, how fast, how accurate, how far from FP32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from realmnet_benchmarks.accuracy import flatten
from realmnet_benchmarks.latency import Latency
from realmnet_benchmarks.metrics import MultilabelMetrics
from realmnet_compression.compressing.tables import Table
from realmnet_compression.parity import Parity
from realmnet_runtime.bundles.manifest import Precision
from realmnet_runtime.structs import decode_json


class Flips(msgspec.Struct, frozen=True):
    """How a variant's answers to a table differ from FP32's.

    Attributes:
        per_thousand: label decisions of 1,000 that differ.
        per_thousand_by_label: likewise, of each label.
        farthest: largest distance of such a decision to its threshold.
        images_per_thousand: pictures of 1,000 with any such decision.
        rank_correlation: least of the labels' median rank correlations of score maps.
        peak_shift: greatest of the labels' median distances of their peaks, cells.
    """

    per_thousand: float
    per_thousand_by_label: dict[str, float]
    farthest: float
    images_per_thousand: float
    rank_correlation: float
    peak_shift: float


class TableFigures(msgspec.Struct, frozen=True):
    """What a variant answers to one evidence table.

    Attributes:
        measured_on: what the pictures are.
        images, patients, refused: of the table.
        measures: fractions, `ap_macro`, `ap/NoPS` and so on; one without a value is left out.
        flips: against FP32; None for FP32 itself.
    """

    measured_on: str
    images: int
    patients: int
    refused: int
    measures: dict[str, float]
    flips: Flips | None


class VariantFigures(msgspec.Struct, frozen=True):
    """All figures of one variant.

    Attributes:
        variant: its name.
        step: that made its file.
        engine: that ran it.
        stores: precision of the weights.
        execution: precision of the arithmetic.
        bytes: of the file.
        threads: of the engine.
        latency: batch 1, beside FP32 in onnxruntime in the same run.
        tables: figures by evidence table.
    """

    variant: str
    step: str
    engine: str
    stores: Precision
    execution: str
    bytes: int
    threads: int
    latency: Latency
    tables: dict[str, TableFigures]


def table_figures(
    table: Table, measured_on: str, metrics: MultilabelMetrics, parity: Parity | None
) -> TableFigures:
    """Figures of one variant on one table."""
    facts = table.facts
    names = table.split.label_set.names
    return TableFigures(
        measured_on=measured_on,
        images=facts.images,
        patients=facts.patients,
        refused=facts.refused,
        measures=flatten(metrics, names),
        flips=None if parity is None else _flips(parity, names, facts.images),
    )


def read_figures(path: Path) -> Sequence[VariantFigures]:
    """Figures as a step left them; none where it measured nothing."""
    if not path.is_file():
        return ()
    return decode_json(path.read_bytes(), tuple[VariantFigures, ...], str(path))


def _flips(parity: Parity, names: Sequence[str], images: int) -> Flips:
    return Flips(
        per_thousand=parity.flips_per_thousand,
        per_thousand_by_label={
            name: 1000.0 * count / images
            for name, count in zip(names, parity.flips_per_label, strict=True)
        },
        farthest=parity.farthest_flip,
        images_per_thousand=1000.0 * parity.images_changed / images,
        rank_correlation=parity.maps.least_rank_median,
        peak_shift=parity.maps.greatest_shift_median,
    )
