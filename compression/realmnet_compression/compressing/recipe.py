"""Recipes of `realmnet compress`: TOML read once into a frozen struct whose steps fit together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, get_args

import msgspec

from realmnet_benchmarks.latency import LatencyPlan
from realmnet_compression.compressing.steps import (
    GIVEN,
    STEP_TYPES,
    AnyStep,
    BundleStep,
    Count,
    DistilStep,
    ExportStep,
    GateStep,
    ModelStep,
    tag_of,
)
from realmnet_compression.recipe_files import read_recipe
from realmnet_compression.releasing.measured import REFERENCE
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LABEL_SETS
from realmnet_runtime.structs import convert_mapping
from realmnet_runtime.suggestions import nearest

COMPRESSIONS: Final = ("complete", "portable")


class CompressionRecipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a checkpoint becomes a bundle of variants.

    Attributes:
        name, version: of the released model.
        notice: statement that every answer carries.
        trained_on: one sentence on the training data.
        steps: in the order in which they run; exactly one of them exports, and what it makes is
            the FP32 reference.
        label_set: the checkpoint's must be this one.
        development: table for calibration, checks and operating points.
        evidence: tables for parity and figures, none of them used for anything else.
        threads: of the engines while measuring.
        latency: how it is measured.
        command: the documented command that makes the bundle again; `realmnet compress NAME` where
            it is left out.
    """

    name: str
    version: str
    notice: str
    trained_on: str
    steps: Annotated[tuple[AnyStep, ...], msgspec.Meta(min_length=1)]
    label_set: str = "psmm"
    development: str = "val"
    evidence: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("test",)
    threads: Count = 2
    latency: LatencyPlan = LatencyPlan()
    command: str = ""

    def __post_init__(self) -> None:
        if self.label_set not in LABEL_SETS:
            raise ConfigurationError(
                f"label_set = '{self.label_set}'; there are {', '.join(LABEL_SETS)}"
                f"{nearest(self.label_set, LABEL_SETS)}"
            )
        if self.development in self.evidence or len(set(self.evidence)) != len(self.evidence):
            raise ConfigurationError(
                f"evidence = {', '.join(self.evidence)} with development = '{self.development}': a "
                "table that fits the variants cannot be their evidence; name each table once"
            )
        _require_names(self.steps)
        _require_variants(self.steps)
        for place, step in enumerate(self.steps):
            self.source_of(place)
            if isinstance(step, GateStep):
                self._require_tables(step)
        _require_order(self.steps)
        if not self.command:
            msgspec.structs.force_setattr(self, "command", f"realmnet compress {self.name}")

    def source_of(self, place: int) -> str | None:
        """Name of what a step takes: an earlier step or `checkpoint`; None where it takes all.

        Raises:
            ConfigurationError: no earlier step makes what this one takes.
        """
        step, earlier = self.steps[place], self.steps[:place]
        if not step.TAKES:
            if step.of is not None:
                raise ConfigurationError(
                    f"step '{step.title}' ({step.type}) takes every variant made before it; leave "
                    "'of' out"
                )
            return None
        makers = {other.title: other.MAKES for other in earlier}
        fitting = [name for name, kinds in makers.items() if not set(kinds).isdisjoint(step.TAKES)]
        if GIVEN in step.TAKES:
            fitting = fitting or [GIVEN]
        if step.of is None and fitting:
            return fitting[-1]
        if step.of in fitting:
            return step.of
        wanted = "is there" if step.of is None else f"is called '{step.of}'"
        cure = (
            f"it may take {', '.join(fitting)}"
            if fitting
            else f"put a step that makes one before it ({', '.join(_makers(step.TAKES))})"
        )
        raise ConfigurationError(
            f"step {place + 1}, '{step.title}' ({step.type}), takes the {' or '.join(step.TAKES)} "
            f"of an earlier step and none {wanted}; {cure}{nearest(step.of or '', fitting)}"
        )

    def _require_tables(self, step: GateStep) -> None:
        for name in step.tables:
            if name not in self.evidence:
                raise ConfigurationError(
                    f"step '{step.title}' judges table '{name}'; evidence names "
                    f"{', '.join(self.evidence)}{nearest(name, self.evidence)}"
                )

    @property
    def models(self) -> tuple[ModelStep, ...]:
        """Steps that make a model file, in order."""
        return tuple(step for step in self.steps if isinstance(step, ModelStep))

    @property
    def folders(self) -> dict[str, str]:
        """Name of each step to that of its folder: `02-int8`."""
        return {step.title: f"{n:02d}-{step.title}" for n, step in enumerate(self.steps, start=1)}


def load_compression(name: str) -> CompressionRecipe:
    """Read a recipe of this package by name, or a `.toml` file by path.

    Raises:
        MissingPath: no such recipe or file.
        ConfigurationError: no TOML, an unknown step or key (with the nearest), an impossible value,
            or a step that needs what no earlier one makes.
    """
    source_name = f"recipe '{name}'"
    content = read_recipe(name, COMPRESSIONS, "realmnet_compression.compressing")
    _require_known_types(content, source_name)
    return convert_mapping(content, CompressionRecipe, source_name)


def _require_known_types(content: dict[str, Any], source: str) -> None:
    """Name a misspelt step; the decoder alone would not say what there is."""
    steps = content.get("steps")
    for number, step in enumerate(steps if isinstance(steps, list) else [], start=1):
        kind = step.get("type") if isinstance(step, dict) else None
        if kind not in STEP_TYPES:
            raise ConfigurationError(
                f"{source}: step {number} has type '{kind}'; there are {', '.join(STEP_TYPES)}"
                f"{nearest(str(kind), STEP_TYPES)}"
            )


def _require_names(steps: Sequence[AnyStep]) -> None:
    names = [GIVEN, *(step.title for step in steps)]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"two steps are called '{name}', or one as the checkpoint that is given; give each "
                "a name of its own"
            )


def _require_variants(steps: Sequence[AnyStep]) -> None:
    names = [REFERENCE]
    for step in (step for step in steps if isinstance(step, ModelStep)):
        for plan in step.variants:
            if plan.name in names:
                raise ConfigurationError(
                    f"step '{step.title}' has a variant '{plan.name}', which is taken; give each a "
                    "name of its own"
                )
            names.append(plan.name)
            if plan.execution not in {step.stores, "fp32"}:
                raise ConfigurationError(
                    f"variant '{plan.name}' computes in {plan.execution} what step '{step.title}' "
                    f"stores in {step.stores}; choose {step.stores} or fp32"
                )
            if plan.engine not in step.ENGINES:
                raise ConfigurationError(
                    f"variant '{plan.name}' asks {plan.engine} to run what step '{step.title}' "
                    f"({step.type}) makes; only {' and '.join(step.ENGINES)} can"
                )


def _require_order(steps: Sequence[AnyStep]) -> None:
    _require_distilled_first(steps)
    exports = [step for step in steps if isinstance(step, ExportStep)]
    if len(exports) != 1 or not isinstance(
        next((step for step in steps if isinstance(step, ModelStep)), None), ExportStep
    ):
        raise ConfigurationError(
            f"the recipe exports {len(exports)} times; it needs one export step before every step "
            "that makes a variant: its FP32 file is what all are compared with"
        )
    _require_judged(steps)


def _require_distilled_first(steps: Sequence[AnyStep]) -> None:
    for place, step in enumerate(steps):
        if isinstance(step, DistilStep) and place > 0:
            raise ConfigurationError(
                f"step {place + 1}, '{step.title}' (distil), comes after another; a recipe "
                "releases one network: put distil first, and everything else is of the student"
            )


def _require_judged(steps: Sequence[AnyStep]) -> None:
    made = gated = False
    for step in steps:
        if isinstance(step, ModelStep):
            made, gated = made or bool(step.variants), False
        elif isinstance(step, GateStep):
            if not made:
                raise ConfigurationError(
                    f"step '{step.title}' (gate) has no variant to judge; list variants in a step "
                    "before it"
                )
            gated = True
        elif isinstance(step, BundleStep) and not gated:
            raise ConfigurationError(
                f"step '{step.title}' (bundle) would ship variants that no gate has judged; put a "
                "gate step right before it"
            )


def _makers(kinds: Sequence[str]) -> list[str]:
    return [tag_of(maker) for maker in get_args(AnyStep) if not set(kinds).isdisjoint(maker.MAKES)]
