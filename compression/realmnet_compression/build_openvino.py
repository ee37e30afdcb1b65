"""From a trained RealMNet to an OpenVINO IR, FP32 or INT8, proved before it is written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import numpy as np
import torch

from realmnet_compression.answers import RawAnswers, ask
from realmnet_compression.export_onnx import OUTPUTS, as_exported, probe_images, read_onnx
from realmnet_compression.graphs.openvino_graph import graph_of_model, graph_of_onnx
from realmnet_compression.openvino_files import IrFiles, encode_ir, require_ir_name, write_ir
from realmnet_compression.parity import FP32_TOLERANCE, tensor_errors
from realmnet_compression.quantisation.nncf_post_training import (
    Float32Array,
    PostTrainingSettings,
    quantise_post_training,
)
from realmnet_compression.quantisation.quantise import Check, QuantiseReport, require_fp32
from realmnet_runtime.errors import GateFailed, UsageError
from realmnet_training.model import RealMNet

if TYPE_CHECKING:
    import openvino

IrPrecision = Literal["fp32", "int8"]
PRECISIONS: Final[tuple[IrPrecision, ...]] = ("fp32", "int8")


class OpenVinoReport(msgspec.Struct, frozen=True):
    """What was built.

    Attributes:
        model: path of the XML.
        weights: path of the constants beside it.
        bytes: of both files.
        precision: how the weights are stored.
        largest_error: of any logit or score of the FP32 graph on three fixed inputs, against the
            source; the INT8 graph is made from that one.
        quantisation: what became of the products; None for FP32.
    """

    model: str
    weights: str
    bytes: int
    precision: IrPrecision
    largest_error: float
    quantisation: QuantiseReport | None = None


def build_openvino(
    source: RealMNet | str | Path,
    out: str | Path,
    *,
    precision: IrPrecision = "fp32",
    calibration: Sequence[Float32Array] = (),
    check: Check | None = None,
    settings: PostTrainingSettings | None = None,
    tolerance: float = FP32_TOLERANCE,
) -> OpenVinoReport:
    """Write an IR with the input `image` (1, 3, S, S) and the outputs `logits`, `score_maps`.

    Straight from the model attention stays one operator, and INT8 was about 6 % faster where it was
    measured. From the ONNX file no checkpoint is needed.
    Either way position-bias tables stay tables and the same source gives the same bytes.

    Args:
        source: a trained model, left as it was, or the FP32 file of `export_onnx`.
        out: path of the XML to write; the constants come beside it, ending in `.bin`.
        precision: `fp32` or `int8`.
        calibration: (1, 3, S, S) float32 tensors of development pictures, for INT8 (see
            `quantisation.calibration.choose_calibration`).
        check: development pictures besides those on which INT8 must decide as FP32 does.
        settings: of the quantiser.
        tolerance: largest allowed difference of any FP32 logit or score to the source.

    Raises:
        UsageError: another file name or precision, or calibration pictures that do not fit.
        MissingPath, ConfigurationError: no FP32 file of this toolkit.
        GateFailed: answers differ by more than is allowed; nothing is written.
        BackendUnavailable: OpenVINO is not installed.
        OutputError: a file could not be written.
    """
    path = require_ir_name(out)
    if precision not in PRECISIONS:
        raise UsageError(f"precision '{precision}'; an IR is built in {' or '.join(PRECISIONS)}")
    if precision == "fp32" and (calibration or check):
        raise UsageError("an FP32 IR is not quantised; leave calibration and check out")
    graph, expected, labels, size = _read(source)
    exact = encode_ir(graph.clone(), "fp32")
    largest = _require_parity(exact, expected, size, labels, tolerance)
    files, quantisation = exact, None
    if precision == "int8":
        files, quantisation = quantise_post_training(
            graph, calibration, size=size, labels=labels, check=check, settings=settings
        )
    model, weights = write_ir(files, path)
    return OpenVinoReport(str(model), str(weights), files.size, precision, largest, quantisation)


def _read(source: RealMNet | str | Path) -> tuple[openvino.Model, RawAnswers, int, int]:
    """The source's graph, its answers to three fixed inputs, labels and input size."""
    if isinstance(source, RealMNet):
        return graph_of_model(source), _answers_of(source), source.labels, source.image
    exported, signature = read_onnx(source)
    require_fp32(exported, source)
    expected = ask(
        exported.SerializeToString(),
        "onnxruntime",
        "fp32",
        probe_images(signature.size),
        labels=signature.labels,
        threads=1,
    )
    return graph_of_onnx(exported), expected, signature.labels, signature.size


def _answers_of(model: RealMNet) -> RawAnswers:
    device = next(model.parameters()).device
    with as_exported(model), torch.no_grad():
        answers = [model(torch.from_numpy(i).to(device)) for i in probe_images(model.image)]
    logits, maps = (
        np.concatenate([each[part].cpu().numpy() for each in answers]) for part in (0, 1)
    )
    return RawAnswers(logits=logits, score_maps=maps)


def _require_parity(
    files: IrFiles, expected: RawAnswers, size: int, labels: int, tolerance: float
) -> float:
    found = ask(
        files.model,
        "openvino",
        "fp32",
        probe_images(size),
        labels=labels,
        threads=1,
        weights=files.weights,
    )
    largest = 0.0
    for name in OUTPUTS:
        error = tensor_errors(getattr(expected, name), getattr(found, name)).largest
        if not error <= tolerance:
            raise GateFailed(
                f"OpenVINO differs from its source by {error:.2e} in '{name}'; {tolerance:.0e} is "
                "allowed: the conversion is wrong, nothing was written"
            )
        largest = max(largest, error)
    return largest
