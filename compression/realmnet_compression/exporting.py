"""What `realmnet export` writes: ONNX, or an OpenVINO IR in FP32 or INT8."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from realmnet_compression.build_openvino import OpenVinoReport, build_openvino
from realmnet_compression.compressing.recipe import load_compression
from realmnet_compression.compressing.steps import OpenVinoStep
from realmnet_compression.export_onnx import export_onnx, require_same_model
from realmnet_compression.graphs.half import write_half
from realmnet_compression.openvino_files import WEIGHTS_SUFFIX, require_ir_name
from realmnet_compression.quantisation.quantiser_pictures import quantiser_table
from realmnet_compression.releasing.release import find_checkpoint
from realmnet_runtime.cli.outputs import require_writable_file
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_training.checkpoint import CheckpointFacts, load_checkpoint, read_facts
from realmnet_training.model import RealMNet

ONNX_SUFFIX: Final = ".onnx"


@dataclass(frozen=True)
class Int8Options:
    """What INT8 is made with; every one is None where it was not said.

    Attributes:
        data: data set in the released PSMM layout.
        split: table to calibrate and check on; None takes the recipe's.
        recipe: of `realmnet compress`, whose `openvino` step says how; None takes `complete`.
        checkpoint: of an ONNX source, for the specification and the thresholds.
        cache: folder of prepared pictures; None takes a temporary one.
    """

    data: Path | None = None
    split: str | None = None
    recipe: str | None = None
    checkpoint: Path | None = None
    cache: Path | None = None

    def require_unsaid(self, precision: str) -> None:
        """Refuse options that another precision has no use for.

        Raises:
            UsageError: naming the first.
        """
        for each in fields(self):
            if getattr(self, each.name) is not None:
                raise UsageError(
                    f"--{each.name} is for an INT8 IR, and {precision} is written; leave it out, "
                    "or ask for --format openvino --precision int8"
                )


def write_onnx(source: Path, out: Path, precision: str) -> Path:
    """Write a checkpoint as ONNX.

    Args:
        source: folder or file of `realmnet train`.
        out: file to write.
        precision: `fp32` or `fp16`.

    Raises:
        UsageError: another precision, or a source that is ONNX already.
        MissingPath, IntegrityError, ConfigurationError: no checkpoint of a RealMNet.
        GateFailed: an engine answers otherwise than torch; nothing is written.
        OutputError: the file cannot be written.
    """
    if precision == "int8":
        raise UsageError(
            "--precision int8 with --format onnx; `realmnet quantise` makes the portable INT8 "
            "file, --format openvino an INT8 IR"
        )
    if source.suffix == ONNX_SUFFIX:
        raise UsageError(f"'{source}' is ONNX already; give a checkpoint, or --format openvino")
    require_writable_file(out)
    model, _ = load_checkpoint(find_checkpoint(source))
    if precision == "fp32":
        return export_onnx(model, out)
    with tempfile.TemporaryDirectory(prefix="realmnet-") as temporary:
        exported = export_onnx(model, Path(temporary) / "fp32.onnx")
        return write_half(exported, out)


def write_openvino(source: Path, out: Path, precision: str, options: Int8Options) -> OpenVinoReport:
    """Write a checkpoint, or its FP32 ONNX file, as an OpenVINO IR.

    Args:
        source: folder or file of `realmnet train`, or an ONNX file of `realmnet export`.
        out: XML to write; its weights come beside it.
        precision: `fp32` or `int8`.
        options: what INT8 is made with.

    Raises:
        UsageError, MissingPath, ConfigurationError: arguments that do not fit together.
        BackendUnavailable: OpenVINO is not installed.
        GateFailed: answers differ by more than is allowed; nothing is written.
        OutputError: a file cannot be written.
    """
    if precision == "fp16":
        raise UsageError("--precision fp16 with --format openvino; an IR is built in fp32 or int8")
    require_ir_name(out)
    for path in (out, out.with_suffix(WEIGHTS_SUFFIX)):
        require_writable_file(path)
    if precision == "int8":
        return _write_int8(source, out, options)
    return build_openvino(_model_or_file(source), out)


def _write_int8(source: Path, out: Path, options: Int8Options) -> OpenVinoReport:
    facts = _facts_of(source, options.checkpoint)
    if options.data is None:
        raise UsageError(
            "--precision int8 sets ranges on development pictures; name their data set with --data"
        )
    name = options.recipe or "complete"
    step, development = _openvino_step(name)
    with quantiser_table(
        options.data,
        options.split or development,
        plan=step.calibration,
        check_pictures=step.check_pictures,
        facts=facts,
        cache=options.cache,
    ) as (calibration, check):
        return build_openvino(
            _model_or_file(source),
            out,
            precision="int8",
            calibration=calibration,
            check=check,
            settings=step.quantisation,
        )


def _facts_of(source: Path, checkpoint: Path | None) -> CheckpointFacts:
    """Of the source, or of the checkpoint it was exported from."""
    if source.suffix != ONNX_SUFFIX:
        if checkpoint is not None:
            raise UsageError("--checkpoint is for an ONNX source; a checkpoint was given already")
        return read_facts(find_checkpoint(source))
    if checkpoint is None:
        raise UsageError(
            "an ONNX file does not say how pictures are prepared nor its thresholds; name the "
            "checkpoint it was exported from with --checkpoint, or give that instead"
        )
    facts = read_facts(find_checkpoint(checkpoint))
    require_same_model(source, facts.spec.size, len(facts.label_set))
    return facts


def _openvino_step(recipe: str) -> tuple[OpenVinoStep, str]:
    """The INT8 step of a recipe, and its development table."""
    chosen = load_compression(recipe)
    for step in chosen.steps:
        if isinstance(step, OpenVinoStep) and step.precision == "int8":
            return step, chosen.development
    raise ConfigurationError(
        f"recipe '{recipe}' has no openvino step in int8; take 'complete', or a .toml file of "
        "yours with one"
    )


def _model_or_file(source: Path) -> RealMNet | Path:
    if source.suffix == ONNX_SUFFIX:
        return source
    return load_checkpoint(find_checkpoint(source))[0]
