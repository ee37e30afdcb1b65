"""Steps that turn a network into a file, or a file into another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from realmnet_compression.build_openvino import build_openvino
from realmnet_compression.build_tensorrt import build_ahead_of_time
from realmnet_compression.compressing.folder import write_json
from realmnet_compression.compressing.job import Making
from realmnet_compression.compressing.steps import (
    ONNX_FILE,
    ExportStep,
    HalfStep,
    OpenVinoStep,
    QuantiseStep,
    TensorRtStep,
)
from realmnet_compression.export_onnx import export_onnx
from realmnet_compression.graphs.half import write_half
from realmnet_compression.quantisation.activations import Float32Array
from realmnet_compression.quantisation.calibration import CalibrationPlan
from realmnet_compression.quantisation.quantise import Check, quantise
from realmnet_compression.quantisation.quantiser_pictures import quantiser_pictures
from realmnet_compression.releasing.release import find_checkpoint
from realmnet_runtime.backends._engine_key import ENGINE_SUFFIX
from realmnet_training.checkpoint import load_checkpoint

REPORT_FILE: Final = "quantisation.json"


def export_step(step: ExportStep, making: Making) -> None:
    """Write the checkpoint as FP32 ONNX, compared with torch in both engines."""
    del step
    model, _ = load_checkpoint(find_checkpoint(making.taken))
    export_onnx(model, making.folder / ONNX_FILE)


def half_step(step: HalfStep, making: Making) -> None:
    """Write the FP16 form of an ONNX file, compared with it in onnxruntime."""
    del step
    write_half(making.taken / ONNX_FILE, making.folder / ONNX_FILE)


def quantise_step(step: QuantiseStep, making: Making) -> None:
    """Make the portable INT8 file from development pictures only."""
    calibration, check = _pictures(step.calibration, step.check_pictures, making)
    report = quantise(
        making.taken / ONNX_FILE,
        making.folder / ONNX_FILE,
        calibration,
        check=check,
        settings=step.quantisation,
    )
    write_json(making.folder / REPORT_FILE, report)


def openvino_step(step: OpenVinoStep, making: Making) -> None:
    """Make an IR, INT8 from development pictures only."""
    model, _ = load_checkpoint(find_checkpoint(making.taken))
    out = making.folder / step.FILES[0]
    if step.precision == "fp32":
        build_openvino(model, out)
        return
    calibration, check = _pictures(step.calibration, step.check_pictures, making)
    report = build_openvino(
        model,
        out,
        precision=step.precision,
        calibration=calibration,
        check=check,
        settings=step.quantisation,
    )
    if report.quantisation is not None:
        write_json(making.folder / REPORT_FILE, report.quantisation)


def engine_step(step: TensorRtStep, making: Making) -> None:
    """Build an engine for each compute capability, its key and build time beside it."""
    for capability in step.capabilities:
        path = making.folder / f"sm{capability.replace('.', '')}{ENGINE_SUFFIX}"
        build_ahead_of_time(making.taken / ONNX_FILE, path, capability)


def _pictures(
    plan: CalibrationPlan, check_pictures: int, making: Making
) -> tuple[Sequence[Float32Array], Check]:
    job = making.job
    return quantiser_pictures(job.tables.development.prepared, plan, check_pictures, job.facts)
