"""The steps a recipe may hold: one struct each, with what it takes and what it makes.

A new kind of step is a struct in this room, its name in `AnyStep`, and its function in
`actions.ACTIONS`.
"""

from __future__ import annotations

from typing import Final, TypeAlias, get_args

from realmnet_compression.compressing.steps.base import (
    CHECKPOINT_FILE,
    GIVEN,
    IR_FILES,
    ONNX_FILE,
    Count,
    ModelStep,
    Step,
    tag_of,
)
from realmnet_compression.compressing.steps.models import (
    AwareStep,
    DistilStep,
    ExportStep,
    HalfStep,
    OpenVinoStep,
    QuantiseStep,
    TensorRtStep,
)
from realmnet_compression.compressing.steps.verdicts import BundleStep, GateStep

__all__ = [
    "CHECKPOINT_FILE",
    "GIVEN",
    "IR_FILES",
    "ONNX_FILE",
    "STEP_TYPES",
    "AnyStep",
    "AwareStep",
    "BundleStep",
    "Count",
    "DistilStep",
    "ExportStep",
    "GateStep",
    "HalfStep",
    "ModelStep",
    "OpenVinoStep",
    "QuantiseStep",
    "Step",
    "TensorRtStep",
    "tag_of",
]

AnyStep: TypeAlias = (
    DistilStep
    | ExportStep
    | HalfStep
    | QuantiseStep
    | OpenVinoStep
    | AwareStep
    | TensorRtStep
    | GateStep
    | BundleStep
)

STEP_TYPES: Final = tuple(tag_of(kind) for kind in get_args(AnyStep))
