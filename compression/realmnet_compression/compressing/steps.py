"""The steps a recipe may hold: one struct each, with what it takes and what it makes.

A new kind of step is a struct here, its name in `AnyStep`, and its function in `actions.ACTIONS`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from realmnet_benchmarks.dominance import Steps
from realmnet_benchmarks.non_inferiority import Margins
from realmnet_compression.quantisation.calibration import CalibrationPlan
from realmnet_compression.quantisation.quantise import QuantiseSettings
from realmnet_compression.recipe import GoldenPlan, VariantPlan
from realmnet_runtime.manifest import Precision

Kind = Literal["checkpoint", "FP32 ONNX file", "INT8 ONNX file", "verdict", "bundle"]
"""What a step takes or makes, in the words of its errors."""

GIVEN: Final = "checkpoint"
"""Name by which a step takes the checkpoint that was given, and its kind."""

MODEL_FILE: Final = "model.onnx"

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=1)]
StepName = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$", max_length=40)]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """What all steps say.

    Attributes:
        name: unique in the recipe; names the step's folder. The type where it is left out.
        of: name of the earlier step whose product it takes, or `checkpoint` for the one given;
            left out, the last earlier step that makes what this one takes.
        TAKES, MAKES: kind of product; no kind for a step that takes all variants made so far.
    """

    name: StepName | None = None
    of: str | None = None

    TAKES: ClassVar[Kind | None] = None
    MAKES: ClassVar[Kind]

    @property
    def type(self) -> str:
        """The step's type, as a recipe spells it."""
        return tag_of(type(self))

    @property
    def title(self) -> str:
        """The step's name."""
        return self.name or self.type


class ModelStep(Step, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A step that makes a model file; every variant of it is measured before the step is done.

    Attributes:
        variants: ways to run the file that may go into the bundle.
        STORES: precision of its weights.
        FILE: its name in the step's folder.
    """

    variants: tuple[VariantPlan, ...] = ()

    STORES: ClassVar[Precision]
    FILE: ClassVar[str] = MODEL_FILE


class ExportStep(ModelStep, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="export"):
    """Write the checkpoint as one static FP32 ONNX file: the reference of all variants."""

    TAKES: ClassVar[Kind | None] = "checkpoint"
    MAKES: ClassVar[Kind] = "FP32 ONNX file"
    STORES: ClassVar[Precision] = "fp32"


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

    TAKES: ClassVar[Kind | None] = "FP32 ONNX file"
    MAKES: ClassVar[Kind] = "INT8 ONNX file"
    STORES: ClassVar[Precision] = "int8"


class GateStep(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="gate"):
    """Compare every variant made so far with FP32; one that fails ends the run with exit code 4.

    Attributes:
        margins: of non-inferiority: what AP, AUROC and F1 may lose.
        tables: evidence tables on which non-inferiority must be shown; all where none is named.
        flips: share of label decisions below which a variant may differ from FP32, and INT8
            variants from each other, on every evidence table.
        rank_correlation: least median rank correlation of any label's score maps with FP32's.
        peak_shift: greatest median distance in cells between any label's highest scores.
        replicates: of the bootstrap.
        seed: of its draws.
        steps: what counts as a difference where a variant is dominated by another.
    """

    margins: Margins = Margins()
    tables: tuple[str, ...] = ()
    flips: Share = 0.01
    rank_correlation: Annotated[float, Meta(ge=-1.0, le=1.0)] = 0.8
    peak_shift: Annotated[float, Meta(ge=0.0)] = 1.0
    replicates: Annotated[int, Meta(ge=2)] = 1_000
    seed: Annotated[int, Meta(ge=0)] = 42
    steps: Steps = Steps()

    MAKES: ClassVar[Kind] = "verdict"


class BundleStep(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="bundle"):
    """Write the bundle of all variants that passed the gate and are not dominated.

    Attributes:
        most_bytes: of the file.
        golden: which phantoms become golden cases.
    """

    most_bytes: Count = 140_000_000
    golden: GoldenPlan = GoldenPlan()

    TAKES: ClassVar[Kind | None] = "verdict"
    MAKES: ClassVar[Kind] = "bundle"


AnyStep: TypeAlias = ExportStep | QuantiseStep | GateStep | BundleStep


def tag_of(kind: type[Step]) -> str:
    """The type by which a recipe asks for this kind of step."""
    return str(kind.__struct_config__.tag)


STEP_TYPES: Final = tuple(tag_of(kind) for kind in get_args(AnyStep))
