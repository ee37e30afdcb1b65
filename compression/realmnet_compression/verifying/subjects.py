"""What can be verified: a checkpoint, an ONNX file, an OpenVINO IR, a variant of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from realmnet_benchmarks.progress import reporting
from realmnet_compression.answers import Float32Array, RawAnswers, ask
from realmnet_compression.export_onnx import read_onnx
from realmnet_compression.openvino_files import read_ir
from realmnet_compression.releasing.release import find_checkpoint
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import (
    IR_SUFFIX,
    MANIFEST_NAME,
    Engine,
    OperatingPoint,
    Precision,
    Variant,
)
from realmnet_runtime.bundles.writer import SUFFIX
from realmnet_runtime.errors import ConfigurationError, MissingPath, UsageError
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_training.checkpoint import load_checkpoint

VARIANT_MARK: Final = "#"

Ask = Callable[[Sequence[Float32Array]], RawAnswers]


@dataclass(frozen=True)
class Subject:
    """A form of a model, ready to answer.

    Attributes:
        name: as reports call it.
        size: side of its input, pixels.
        labels: number of them.
        exact: whether weights and arithmetic are FP32, so that tensors can be held to 1e-4.
        label_set: None where it does not say, as ONNX files do not.
        spec: its pre-processing; None likewise.
        point: its temperatures and thresholds; None likewise.
        ask: answers (1, 3, size, size) float32 tensors.
    """

    name: str
    size: int
    labels: int
    exact: bool
    label_set: LabelSet | None
    spec: PreprocessSpec | None
    point: OperatingPoint | None
    ask: Ask


def open_subject(given: str, *, engine: Engine = "onnxruntime", threads: int = 2) -> Subject:
    """Open a checkpoint, a run's folder, an ONNX file, an OpenVINO IR or a bundle.

    Args:
        given: path; of a bundle `PATH#VARIANT` names a variant, otherwise it is the first.
        engine: that runs an ONNX file.
        threads: of the engine.

    Raises:
        MissingPath: nothing is there.
        UsageError: none of these forms.
        ConfigurationError: an ONNX file, an IR or a checkpoint of something else.
        IntegrityError: a bundle or checkpoint that is damaged.
    """
    path, variant = _parted(given)
    if not path.exists():
        raise MissingPath(
            f"nothing at '{path}'; give a checkpoint, an ONNX file of `realmnet export` or "
            "`quantise`, an OpenVINO IR, or a bundle"
        )
    if path.suffix == SUFFIX or (path / MANIFEST_NAME).is_file():
        return _of_bundle(path, variant, threads)
    if variant:
        raise UsageError(f"'{given}' names a variant, but '{path.name}' is no bundle")
    if path.suffix == ".onnx":
        return _of_onnx(path, engine, threads)
    if path.suffix == IR_SUFFIX:
        return _of_ir(path, threads)
    if path.is_dir() or path.suffix == ".safetensors":
        return _of_checkpoint(path)
    raise UsageError(
        f"'{path.name}' is none of the forms that can be verified; give a checkpoint "
        f"(*.safetensors, or the folder of a run), an ONNX file (*.onnx), an IR (*{IR_SUFFIX}) or "
        f"a bundle (*{SUFFIX}, with {VARIANT_MARK}VARIANT for another than the first)"
    )


def _parted(given: str) -> tuple[Path, str]:
    if Path(given).exists() or VARIANT_MARK not in given:
        return Path(given), ""
    path, _, variant = given.rpartition(VARIANT_MARK)
    return Path(path), variant


def _of_checkpoint(path: Path) -> Subject:
    model, facts = load_checkpoint(find_checkpoint(path))

    def answer(tensors: Sequence[Float32Array]) -> RawAnswers:
        logits, maps = [], []
        with torch.inference_mode(), reporting("pictures answered by torch") as report:
            for done, tensor in enumerate(tensors, start=1):
                found = model(torch.from_numpy(tensor))
                logits.append(found[0].numpy())
                maps.append(found[1].numpy())
                report(done, len(tensors))
        return RawAnswers(logits=np.concatenate(logits), score_maps=np.concatenate(maps))

    return Subject(
        name=f"checkpoint {path.name}",
        size=facts.spec.size,
        labels=len(facts.label_set),
        exact=True,
        label_set=facts.label_set,
        spec=facts.spec,
        point=facts.operating_point,
        ask=answer,
    )


def _of_onnx(path: Path, engine: Engine, threads: int) -> Subject:
    model, signature = read_onnx(path)
    quantised = any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    name = f"{path.name} in {engine}"
    return Subject(
        name=name,
        size=signature.size,
        labels=signature.labels,
        exact=not quantised,
        label_set=None,
        spec=None,
        point=None,
        ask=_engine(
            name,
            [path.read_bytes()],
            (engine, "int8" if quantised else "fp32"),
            signature.labels,
            threads,
        ),
    )


def _of_ir(path: Path, threads: int) -> Subject:
    found = read_ir(path)
    name = f"{path.name} in openvino"
    return Subject(
        name=name,
        size=found.size,
        labels=found.labels,
        exact=found.precision == "fp32",
        label_set=None,
        spec=None,
        point=None,
        ask=_engine(name, found.content, ("openvino", found.precision), found.labels, threads),
    )


def _of_bundle(path: Path, name: str, threads: int) -> Subject:
    with Bundle.open(path, trust=ANY_BUNDLE) as bundle:
        manifest = bundle.manifest
        variant: Variant = manifest.variant(name) if name else manifest.variants[0]
        content = [bundle.read(name) for name in variant.files]
    title = f"{path.name}{VARIANT_MARK}{variant.name}"
    return Subject(
        name=title,
        size=manifest.preprocess.size,
        labels=len(manifest.labels),
        exact=variant.precision == variant.execution_precision == "fp32",
        label_set=manifest.labels,
        spec=manifest.preprocess,
        point=variant.operating_point,
        ask=_engine(
            title,
            content,
            (variant.engine, variant.execution_precision),
            len(manifest.labels),
            threads,
        ),
    )


def _engine(
    name: str,
    content: Sequence[bytes],
    how: tuple[Engine, Precision],
    labels: int,
    threads: int,
) -> Ask:
    model, *weights = content

    def answer(tensors: Sequence[Float32Array]) -> RawAnswers:
        with reporting(f"pictures answered by {name}") as report:
            return ask(
                model,
                *how,
                tensors,
                labels=labels,
                threads=threads,
                weights=b"".join(weights),
                progress=report,
            )

    return answer


def require_same(first: Subject, second: Subject) -> None:
    """Return where two subjects can be forms of one model.

    Raises:
        ConfigurationError: another label set, number of labels, size or pre-processing.
    """
    sets = [subject.label_set for subject in (first, second) if subject.label_set is not None]
    if len(sets) == 2 and sets[0] != sets[1]:
        raise ConfigurationError(
            f"{first.name} answers label set '{sets[0].name}' ({', '.join(sets[0].names)}), "
            f"{second.name} '{sets[1].name}' ({', '.join(sets[1].names)}); give two forms of one "
            "model"
        )
    here, there = ((s.size, s.labels) for s in (first, second))
    if here != there:
        raise ConfigurationError(
            f"{first.name} takes {here[0]} px and answers {here[1]} labels, {second.name} "
            f"{there[0]} px and {there[1]}; give two forms of one model"
        )
    specs = [subject.spec for subject in (first, second) if subject.spec is not None]
    if len(specs) == 2 and specs[0] != specs[1]:
        raise ConfigurationError(
            f"{first.name} and {second.name} prepare pictures differently, so their answers cannot "
            "be compared; release the bundle again from this checkpoint"
        )
