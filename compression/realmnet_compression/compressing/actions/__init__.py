"""What each kind of step does: one function a struct, in one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from realmnet_compression.compressing.actions.files import (
    engine_step,
    export_step,
    half_step,
    openvino_step,
    quantise_step,
)
from realmnet_compression.compressing.actions.trainings import aware_step, distil_step
from realmnet_compression.compressing.bundle import bundle_step
from realmnet_compression.compressing.gate import gate_step
from realmnet_compression.compressing.job import Making
from realmnet_compression.compressing.steps import (
    AwareStep,
    BundleStep,
    DistilStep,
    ExportStep,
    GateStep,
    HalfStep,
    OpenVinoStep,
    QuantiseStep,
    Step,
    TensorRtStep,
)

Action = Callable[[Any, Making], None]
"""Fills `Making.folder`, or raises; of a model step the variants are measured afterwards."""

ACTIONS: Final[dict[type[Step], Action]] = {
    DistilStep: distil_step,
    ExportStep: export_step,
    HalfStep: half_step,
    QuantiseStep: quantise_step,
    OpenVinoStep: openvino_step,
    AwareStep: aware_step,
    TensorRtStep: engine_step,
    GateStep: gate_step,
    BundleStep: bundle_step,
}
