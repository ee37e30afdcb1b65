"""What the manifest of a release says, and the proof that the bundle answers as it says."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from pathlib import Path
from typing import Final, Protocol

from realmnet_benchmarks.records import Records
from realmnet_compression.recipe import VariantPlan
from realmnet_runtime._version import __version__
from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import Model, OperatingPoint, Precision, Provenance, Variant
from realmnet_runtime.cpu import INT8_DOT_PRODUCT, instruction_sets
from realmnet_runtime.errors import GateFailed
from realmnet_runtime.files import sha256_of
from realmnet_runtime.proof.selftest import run_selftest
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_training.checkpoint import CheckpointFacts
from realmnet_training.model import RealMNet

MODEL_FILE: Final = "models/realmnet-int8.onnx"
_LIBRARIES: Final = (
    "torch",
    "timm",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "numpy",
    "opencv-python",
)


class Identity(Protocol):
    """What every recipe of a bundle says of it."""

    @property
    def name(self) -> str:
        """Of the released model."""
        ...

    @property
    def version(self) -> str:
        """Of the released model."""
        ...

    @property
    def notice(self) -> str:
        """Statement that every answer carries."""
        ...

    @property
    def trained_on(self) -> str:
        """One sentence on the training data."""
        ...

    @property
    def command(self) -> str:
        """The documented command that makes the bundle again."""
        ...

    @property
    def development(self) -> str:
        """Table that fits the variants."""
        ...

    @property
    def evidence(self) -> tuple[str, ...]:
        """Tables that show what they answer."""
        ...


def describe_model(recipe: Identity, model: RealMNet) -> Model:
    """What was trained, with the statement every answer carries."""
    head = (
        "a linear head on pooled features"
        if model.head_kind == "linear"
        else f"class-specific residual attention, {model.heads} heads, lambda {model.lam:g}"
    )
    return Model(
        name=recipe.name,
        version=recipe.version,
        architecture=(
            f"TinyViT-{model.size.upper()} with {head}, {model.image} x {model.image} pixels"
        ),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        notice=recipe.notice,
    )


def describe_variant(
    plan: VariantPlan,
    point: OperatingPoint,
    artifact: str = MODEL_FILE,
    precision: Precision = "int8",
    weights: str = "",
) -> Variant:
    """One way to run a model that is stored in this precision."""
    return Variant(
        name=plan.name,
        engine=plan.engine,
        precision=precision,
        execution_precision=plan.execution,
        artifact=artifact,
        operating_point=point,
        oldest_engine=plan.oldest_engine,
        cpu_requires=cpu_requires(plan),
        weights=weights,
    )


def cpu_requires(plan: VariantPlan) -> tuple[str, ...]:
    """INT8 arithmetic only where the CPU has it."""
    return tuple(sorted(INT8_DOT_PRODUCT)) if plan.execution == "int8" else ()


def software() -> dict[str, str]:
    """Versions of the libraries that decide what a variant is and answers."""
    return {name: importlib.metadata.version(name) for name in _LIBRARIES}


def describe_provenance(
    recipe: Identity, facts: CheckpointFacts, file: Path, records: Records
) -> Provenance:
    """Where the bundle comes from: weights, tables by digest, software."""
    digests = {name: split.digest for name, split in facts.splits.items()}
    for name in (recipe.development, *recipe.evidence):
        digests[name] = records[name].digest
    return Provenance(
        created=dt.datetime.now(dt.UTC).date().isoformat(),
        trained_on=recipe.trained_on,
        command=recipe.command,
        toolkit_version=__version__,
        checkpoint_sha256=sha256_of(file),
        data_sha256=digests,
        software={**software(), **{f"training {k}": v for k, v in facts.software.items()}},
    )


def prove(made: Path, most_bytes: int) -> str:
    """Check the size and run the self-test of every variant; return the bundle's digest.

    Raises:
        GateFailed: the file is too large, a self-test fails, or this CPU cannot run a variant and
            so cannot vouch for it.
    """
    size = made.stat().st_size
    if size > most_bytes:
        raise GateFailed(
            f"the bundle holds {size:,} bytes; {most_bytes:,} are allowed: fewer or smaller golden "
            "cases, or a smaller model"
        )
    with Bundle.open(made, trust=ANY_BUNDLE) as bundle:
        for variant in bundle.manifest.variants:
            if variant.cpu_requires and instruction_sets().isdisjoint(variant.cpu_requires):
                raise GateFailed(
                    f"this CPU cannot run variant '{variant.name}' and so cannot vouch for it; "
                    f"release on one with {' or '.join(variant.cpu_requires)}"
                )
            with Predictor.open(bundle, variant=variant.name) as predictor:
                run_selftest(predictor).require_passed()
        return bundle.digest
