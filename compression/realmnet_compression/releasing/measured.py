"""Answers of the reference and of every variant on a table, with what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from realmnet_benchmarks.accuracy import flatten
from realmnet_benchmarks.metrics import MultilabelMetrics, multilabel_metrics
from realmnet_benchmarks.progress import reporting
from realmnet_benchmarks.splits import Split
from realmnet_compression.answers import Float32Array, RawAnswers, ask
from realmnet_compression.parity import Parity, compare_answers, decide, require_parity
from realmnet_compression.recipe import Limits, VariantPlan
from realmnet_runtime.bundles.manifest import Evidence, OperatingPoint
from realmnet_runtime.errors import GateFailed
from realmnet_runtime.labels import LabelSet
from realmnet_training.measuring.operating_points import arrays_of

REFERENCE: Final = "fp32-reference"
"""Name of the FP32 file in onnxruntime, from which every variant was made."""


REFERENCE_PLAN: Final = VariantPlan(REFERENCE, "onnxruntime", "fp32", "0")


@dataclass(frozen=True)
class Run:
    """A way to run a model, and the bytes of its file; of an OpenVINO IR also of its weights."""

    plan: VariantPlan
    model: bytes
    weights: bytes = b""


@dataclass(frozen=True)
class Files:
    """The two files of a release: FP32, which is compared with, and INT8, which is shipped."""

    fp32: bytes
    int8: bytes

    def runs(self, plans: Sequence[VariantPlan]) -> list[Run]:
        """The reference, then every variant of the INT8 file."""
        return [Run(REFERENCE_PLAN, self.fp32), *(Run(plan, self.int8) for plan in plans)]


@dataclass(frozen=True)
class TableAnswers:
    """Answers to all pictures of a table, by variant name; the reference among them."""

    by_variant: Mapping[str, RawAnswers]

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_variant", MappingProxyType(dict(self.by_variant)))

    @property
    def reference(self) -> RawAnswers:
        """Of the FP32 file."""
        return self.by_variant[REFERENCE]


def answer_all(
    runs: Sequence[Run],
    tensors: Sequence[Float32Array],
    *,
    table: str,
    labels: int,
    threads: int,
) -> TableAnswers:
    """Ask every variant about all pictures, the reference among them or not.

    Raises:
        BackendUnavailable: an engine is not installed.
        IncompatibleError: an engine does not compute as the plan says.
    """
    found: dict[str, RawAnswers] = {}
    for run in runs:
        with reporting(f"{table}: pictures answered by {run.plan.name}") as report:
            found[run.plan.name] = ask(
                run.model,
                run.plan.engine,
                run.plan.execution,
                tensors,
                labels=labels,
                threads=threads,
                weights=run.weights,
                progress=report,
            )
    return TableAnswers(found)


def measure_answers(
    answers: TableAnswers, points: Mapping[str, OperatingPoint], split: Split
) -> dict[str, MultilabelMetrics]:
    """Metrics of every variant at its own operating point."""
    measured = {}
    for name, raw in answers.by_variant.items():
        probabilities, _ = decide(raw.logits, points[name], split.label_set)
        thresholds = arrays_of(points[name], split.label_set)[1]
        measured[name] = multilabel_metrics(split.labels, probabilities, thresholds)
    return measured


def compare_all(
    answers: TableAnswers,
    points: Mapping[str, OperatingPoint],
    plans: Sequence[VariantPlan],
    label_set: LabelSet,
) -> list[Parity]:
    """Every variant against the reference, and every INT8 variant against the first of them."""

    def of(name: str) -> tuple[str, RawAnswers, OperatingPoint]:
        return name, answers.by_variant[name], points[name]

    found = [compare_answers(of(REFERENCE), of(plan.name), label_set) for plan in plans]
    int8 = [plan.name for plan in plans if plan.execution == "int8"]
    return found + [compare_answers(of(int8[0]), of(other), label_set) for other in int8[1:]]


def require_limits(
    parities: Sequence[Parity],
    metrics: Mapping[str, MultilabelMetrics],
    limits: Limits,
    table: str,
) -> None:
    """Return where decisions and average precision of every variant hold.

    Raises:
        GateFailed: naming the table, the variant and the figure.
    """
    for parity in parities:
        require_parity(parity, limits.flips, table)
    expected = metrics[REFERENCE]["ap_macro"]
    for name, found in metrics.items():
        if not expected - found["ap_macro"] <= limits.ap_loss:
            raise GateFailed(
                f"on table '{table}' {name} has a macro average precision of "
                f"{found['ap_macro']:.4f}, FP32 {expected:.4f}; it may lose {limits.ap_loss:g}: "
                "calibrate with more pictures or quantise fewer activations"
            )


def require_reference(metrics: MultilabelMetrics, limits: Limits, table: str) -> None:
    """Return where FP32 is as good as the recipe expects.

    Raises:
        GateFailed: its macro average precision is outside the range.
    """
    least, most = limits.reference_ap
    found = metrics["ap_macro"]
    if not least <= found <= most:
        raise GateFailed(
            f"FP32 has a macro average precision of {found:.4f} on table '{table}'; the recipe "
            f"expects {least:g} to {most:g}: "
            f"{'train longer' if found < least else 'harden the pictures'}"
        )


def evidence_of(
    split: Split,
    metrics: Mapping[str, MultilabelMetrics],
    parities: Sequence[Parity],
    refused: int,
    measured_on: str,
) -> list[Evidence]:
    """Figures for the manifest, one entry for each variant and the reference."""
    against = {p.variant: p for p in parities if p.reference == REFERENCE}
    entries = []
    for name, found in metrics.items():
        figures = flatten(found, split.label_set.names)
        note = (
            f"measured on {measured_on}; {len(set(split.patients))} patients, "
            f"{refused} pictures refused"
        )
        if name in against:
            parity = against[name]
            figures["flips_per_thousand"] = parity.flips_per_thousand
            figures["farthest_flip"] = parity.farthest_flip
            figures["images_changed_per_thousand"] = 1000.0 * parity.images_changed / len(split)
            figures["largest_logit_difference"] = parity.logits.largest
            note += f"; differences are to {REFERENCE}"
        else:
            note += "; the FP32 file in onnxruntime, not in the bundle"
        finite = {key: value for key, value in figures.items() if np.isfinite(value)}
        entries.append(
            Evidence(variant=name, dataset=split.name, images=len(split), metrics=finite, note=note)
        )
    return entries
