"""What each kind of step does: one function a struct, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from realmnet_compression.compressing.bundle import bundle_step
from realmnet_compression.compressing.folder import write_json
from realmnet_compression.compressing.gate import gate_step
from realmnet_compression.compressing.job import Making
from realmnet_compression.compressing.steps import (
    MODEL_FILE,
    BundleStep,
    ExportStep,
    GateStep,
    QuantiseStep,
    Step,
)
from realmnet_compression.export_onnx import export_onnx
from realmnet_compression.quantisation.quantise import quantise
from realmnet_compression.releasing.release import find_checkpoint, quantiser_pictures
from realmnet_training.checkpoint import load_checkpoint

Action = Callable[[Any, Making], None]
"""Fills `Making.folder`, or raises; of a model step the variants are measured afterwards."""

REPORT_FILE: Final = "quantisation.json"


def export_step(step: ExportStep, making: Making) -> None:
    """Write the checkpoint as FP32 ONNX, compared with torch in both engines."""
    model, _ = load_checkpoint(find_checkpoint(making.taken))
    export_onnx(model, making.folder / step.FILE)


def quantise_step(step: QuantiseStep, making: Making) -> None:
    """Make the portable INT8 file from development pictures only."""
    job = making.job
    calibration, check = quantiser_pictures(
        job.tables.development.prepared, step.calibration, step.check_pictures, job.facts
    )
    report = quantise(
        making.taken / MODEL_FILE,
        making.folder / step.FILE,
        calibration,
        check=check,
        settings=step.quantisation,
    )
    write_json(making.folder / REPORT_FILE, report)


ACTIONS: Final[dict[type[Step], Action]] = {
    ExportStep: export_step,
    QuantiseStep: quantise_step,
    GateStep: gate_step,
    BundleStep: bundle_step,
}
