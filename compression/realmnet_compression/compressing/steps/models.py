"""Steps that make a model: from a checkpoint, or from the file of an earlier step."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from realmnet_compression.build_openvino import IrPrecision
from realmnet_compression.compressing.steps.base import (
    IR_FILES,
    Count,
    Kind,
    ModelStep,
    Step,
)
from realmnet_compression.distillation.settings import DistilSettings
from realmnet_compression.quantisation.aware import AwareSettings
from realmnet_compression.quantisation.calibration import CalibrationPlan
from realmnet_compression.quantisation.nncf_post_training import PostTrainingSettings
from realmnet_compression.quantisation.quantise import QuantiseSettings
from realmnet_runtime.bundles.manifest import Precision


class DistilStep(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="distil"):
    """Train a student from the checkpoint's answers; everything after it is of the student.

    Attributes:
        preset: of the student, a name or a `.toml` file.
        changes: keys of it, as `fit.seed=7`.
        distillation: weights of the losses.
    """

    preset: str
    changes: tuple[str, ...] = ()
    distillation: DistilSettings = DistilSettings()

    TAKES: ClassVar[tuple[Kind, ...]] = ("checkpoint",)
    MAKES: ClassVar[tuple[Kind, ...]] = ("checkpoint",)


class ExportStep(ModelStep, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="export"):
    """Write the checkpoint as one static FP32 ONNX file: the reference of all variants."""

    TAKES: ClassVar[tuple[Kind, ...]] = ("checkpoint",)
    MAKES: ClassVar[tuple[Kind, ...]] = ("FP32 ONNX file",)

    @property
    def stores(self) -> Precision:
        """FP32."""
        return "fp32"


class HalfStep(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="half"):
    """Write the FP16 form of a file, for GPUs; it is proved in onnxruntime, and no variant."""

    TAKES: ClassVar[tuple[Kind, ...]] = ("FP32 ONNX file", "INT8 ONNX file")
    MAKES: ClassVar[tuple[Kind, ...]] = ("FP16 ONNX file",)


class QuantiseStep(
    ModelStep, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="quantise"
):
    """Make the portable INT8 file, which onnxruntime and OpenVINO compute as integers.

    Attributes:
        calibration: which development pictures set ranges.
        quantisation: how.
        check_pictures: other development pictures on which decisions must hold.
    """

    calibration: CalibrationPlan = CalibrationPlan()
    quantisation: QuantiseSettings = QuantiseSettings()
    check_pictures: Count = 400

    TAKES: ClassVar[tuple[Kind, ...]] = ("FP32 ONNX file",)
    MAKES: ClassVar[tuple[Kind, ...]] = ("INT8 ONNX file",)


class OpenVinoStep(
    ModelStep, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="openvino"
):
    """Make an OpenVINO IR straight from the checkpoint, where attention stays one operator.

    Attributes:
        precision: `fp32`, or `int8` by NNCF after training.
        calibration: which development pictures set ranges, for INT8.
        quantisation: how.
        check_pictures: other development pictures on which decisions must hold.
    """

    precision: IrPrecision = "int8"
    calibration: CalibrationPlan = CalibrationPlan()
    quantisation: PostTrainingSettings = PostTrainingSettings()
    check_pictures: Count = 400

    TAKES: ClassVar[tuple[Kind, ...]] = ("checkpoint",)
    MAKES: ClassVar[tuple[Kind, ...]] = ("OpenVINO IR",)
    FILES: ClassVar[tuple[str, ...]] = IR_FILES
    ENGINES: ClassVar[tuple[str, ...]] = ("openvino",)

    @property
    def stores(self) -> Precision:
        """As asked."""
        return self.precision


class AwareStep(ModelStep, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="aware"):
    """Train the network with its quantisers, taught by itself in FP32; makes an INT8 IR.

    The trained weights without quantisers are written beside it as an FP32 ONNX file, which a
    `quantise` step may take.

    Attributes:
        training: table whose pictures it sees, augmented as in the checkpoint's own training.
        settings: how.
    """

    training: str = "train"
    settings: AwareSettings = AwareSettings()

    TAKES: ClassVar[tuple[Kind, ...]] = ("checkpoint",)
    MAKES: ClassVar[tuple[Kind, ...]] = ("OpenVINO IR", "FP32 ONNX file")
    FILES: ClassVar[tuple[str, ...]] = IR_FILES
    ENGINES: ClassVar[tuple[str, ...]] = ("openvino",)


class TensorRtStep(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="tensorrt-rtx"):
    """Build TensorRT-RTX engines ahead of time, without a GPU; none is run, and none released.

    Attributes:
        capabilities: compute capabilities, an engine each: `8.9` for the RTX 4090.
    """

    capabilities: Annotated[tuple[str, ...], Meta(min_length=1)] = ("8.9", "12.0")

    TAKES: ClassVar[tuple[Kind, ...]] = ("FP16 ONNX file", "INT8 ONNX file", "FP32 ONNX file")
    MAKES: ClassVar[tuple[Kind, ...]] = ("TensorRT-RTX engines",)
