"""What every step of a recipe says, and what steps take and make."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from realmnet_compression.openvino_files import WEIGHTS_SUFFIX
from realmnet_compression.recipe import VariantPlan
from realmnet_runtime.bundles.manifest import IR_SUFFIX, Precision

Kind = Literal[
    "checkpoint",
    "FP32 ONNX file",
    "FP16 ONNX file",
    "INT8 ONNX file",
    "OpenVINO IR",
    "TensorRT-RTX engines",
    "verdict",
    "bundle",
]
"""What a step takes or makes, in the words of its errors."""

GIVEN: Final = "checkpoint"
"""Name by which a step takes the checkpoint that was given, and its kind."""

CHECKPOINT_FILE: Final = "checkpoint.safetensors"
ONNX_FILE: Final = "model.onnx"
IR_FILES: Final = (f"model{IR_SUFFIX}", f"model{WEIGHTS_SUFFIX}")
"""Files of a product in its step's folder, whatever step made it."""

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=1)]
StepName = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9_-]*[a-z0-9])?$", max_length=40)]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """What all steps say.

    Attributes:
        name: unique in the recipe; names the step's folder. The type where it is left out.
        of: name of the earlier step whose product it takes, or `checkpoint` for the one given;
            left out, the last earlier step that makes what this one takes.
        TAKES: kinds of product, of which it takes one; none for a step that takes all variants
            made so far.
        MAKES: kinds of product.
    """

    name: StepName | None = None
    of: str | None = None

    TAKES: ClassVar[tuple[Kind, ...]] = ()
    MAKES: ClassVar[tuple[Kind, ...]]

    @property
    def type(self) -> str:
        """The step's type, as a recipe spells it."""
        return tag_of(type(self))

    @property
    def title(self) -> str:
        """The step's name."""
        return self.name or self.type


class ModelStep(Step, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A step that makes a model; every variant of it is measured before the step is done.

    Attributes:
        variants: ways to run the model that may go into the bundle.
        FILES: its files in the step's folder, the model first.
        ENGINES: which run it.
    """

    variants: tuple[VariantPlan, ...] = ()

    FILES: ClassVar[tuple[str, ...]] = (ONNX_FILE,)
    ENGINES: ClassVar[tuple[str, ...]] = ("onnxruntime", "openvino")

    @property
    def stores(self) -> Precision:
        """Precision of its weights."""
        return "int8"


def tag_of(kind: type[Step]) -> str:
    """The type by which a recipe asks for this kind of step."""
    return str(kind.__struct_config__.tag)
