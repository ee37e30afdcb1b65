"""Recipes of a release: TOML files read once into frozen structs."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from realmnet_compression.quantisation.calibration import CalibrationPlan
from realmnet_compression.quantisation.quantise import QuantiseSettings
from realmnet_compression.recipe_files import read_recipe
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LABEL_SETS
from realmnet_runtime.structs import convert_mapping
from realmnet_runtime.suggestions import nearest

RECIPES: Final = ("demonstration",)

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0)]
Count = Annotated[int, Meta(ge=1)]
QualityChoice = Literal["fitted", "default"]
"""Limits of quality in a bundle: fitted on the raw development pictures, or none, which leaves the
runtime's own."""


class VariantPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to run the INT8 file.

    Attributes:
        name: in the bundle.
        engine: which runs it; a variant of TensorRT is built, judged and released on its target.
        execution: `int8`, or `fp32` for the same file with FP32 arithmetic: the alternative for
            CPUs whose 8-bit products are slow or saturate.
        oldest_engine: lowest engine version it is released for.
    """

    name: str
    engine: Literal["onnxruntime", "openvino"]
    execution: Literal["int8", "fp32"]
    oldest_engine: str


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must hold on every evidence table, or nothing is released.

    Attributes:
        flips: share of label decisions below which a variant may differ from FP32, and the
            engines from each other.
        ap_loss: macro average precision a variant may lose against FP32, fraction.
        reference_ap: least and greatest macro average precision of FP32 on the first evidence
            table: below it the model is not worth releasing, above it the pictures are too easy.
        bundle_bytes: of the file.
    """

    flips: Share
    ap_loss: Share
    bundle_bytes: Count
    reference_ap: tuple[Share, Share] = (0.0, 1.0)


class GoldenPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which phantoms become golden cases; never a patient's picture.

    Attributes:
        cases: number of them.
        candidates: phantoms drawn; those decided most clearly are taken.
        height: rows of a picture; columns are 5/4 of it.
        seed: of the phantoms.
        box_tolerance: pixels.
        tolerance_int8: of probabilities where the engine computes in INT8, whose rounding differs
            between processors.
        tolerance_fp32: of probabilities where it computes in FP32.
    """

    cases: Count = 3
    candidates: Count = 24
    height: Annotated[int, Meta(ge=96, le=4096)] = 384
    seed: Annotated[int, Meta(ge=0)] = 7
    box_tolerance: Annotated[int, Meta(ge=0)] = 2
    tolerance_int8: Positive = 0.05
    tolerance_fp32: Positive = 0.02


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a checkpoint becomes a bundle.

    Attributes:
        name, version: of the released model.
        notice: statement that every answer carries.
        trained_on: one sentence on the training data.
        measured_on: what the evidence tables show, said beside every figure.
        command: the documented command that makes the bundle again.
        variants: ways to run the INT8 file, in the manifest's order.
        limits: what must hold.
        label_set: the checkpoint's must be this one.
        development: table for calibration, checks and operating points.
        evidence: tables for parity and figures, none of them used for anything else.
        check_pictures: development pictures, besides those calibrated, on which the quantiser
            compares decisions.
        threads: of the engines while measuring.
        quality: `fitted` writes limits of quality fitted on the development table into the bundle;
            `default` leaves the runtime's own.
    """

    name: str
    version: str
    notice: str
    trained_on: str
    measured_on: str
    command: str
    variants: tuple[VariantPlan, ...]
    limits: Limits
    label_set: str = "psmm"
    development: str = "val"
    evidence: Annotated[tuple[str, ...], Meta(min_length=1)] = ("test",)
    check_pictures: Count = 400
    threads: Count = 2
    calibration: CalibrationPlan = CalibrationPlan()
    quantisation: QuantiseSettings = QuantiseSettings()
    golden: GoldenPlan = GoldenPlan()
    quality: QualityChoice = "default"

    def __post_init__(self) -> None:
        if self.label_set not in LABEL_SETS:
            raise ConfigurationError(
                f"label_set = '{self.label_set}'; there are {', '.join(LABEL_SETS)}"
                f"{nearest(self.label_set, LABEL_SETS)}"
            )
        if not any(plan.execution == "int8" for plan in self.variants):
            raise ConfigurationError("the recipe has no int8 variant; list at least one")
        if self.development in self.evidence:
            raise ConfigurationError(
                f"table '{self.development}' fits the variants and cannot be their evidence; name "
                "another in evidence"
            )


def load_recipe(name: str) -> Recipe:
    """Read a recipe of this package by name, or a `.toml` file by path.

    Raises:
        MissingPath: no such recipe or file.
        ConfigurationError: no TOML, an unknown key, or an impossible value.
    """
    content = read_recipe(name, RECIPES, "realmnet_compression")
    return convert_mapping(content, Recipe, f"recipe '{name}'")
