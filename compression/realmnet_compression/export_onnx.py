"""From a trained RealMNet to one static ONNX file that both engines run."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import onnx
import torch

from realmnet_compression.graphs.gelu import spell_gelu
from realmnet_compression.graphs.graph import name_by_module, static_shape, strip_notes
from realmnet_compression.graphs.position_tables import keep_position_tables
from realmnet_compression.parity import FP32_TOLERANCE, tensor_errors
from realmnet_runtime._version import __version__
from realmnet_runtime.backends import EngineRequest, load_engine
from realmnet_runtime.bundles.manifest import Engine
from realmnet_runtime.errors import ConfigurationError, GateFailed, MissingPath
from realmnet_runtime.files import write_atomically
from realmnet_training.model import RealMNet

OPSET: Final = 18
"""LayerNormalization is one node from 17 on; 18 is the lowest the exporter writes by itself."""

IR_VERSION: Final = 8
"""The file format of opset 18's own release, so that engines of early 2023 on can load it."""

INPUT: Final = "image"
OUTPUTS: Final = ("logits", "score_maps")
PRODUCER: Final = "realmnet"
ENGINES: Final[tuple[Engine, ...]] = ("onnxruntime", "openvino")


class Signature(msgspec.Struct, frozen=True):
    """What an exported file takes and answers.

    Attributes:
        size: side of the square input, pixels; the input `image` is (1, 3, size, size).
        labels: L of the outputs `logits` (1, L) and `score_maps` (1, L, h, w).
        opset: of the standard operators.
        ir_version: of the file format.
    """

    size: int
    labels: int
    opset: int
    ir_version: int


def export_onnx(
    model: RealMNet,
    path: str | Path,
    *,
    tolerance: float = FP32_TOLERANCE,
    engines: tuple[Engine, ...] = ENGINES,
) -> Path:
    """Write a model as one static-shape ONNX file and prove it in the engines.

    Input `image` (1, 3, S, S) float32; outputs `logits` (1, L) and `score_maps` (1, L, h, w)
    float32. Batch norms are folded into their convolutions, every LayerNorm is one node, the
    position-bias tables stay tables. The same model and torch give the same bytes.

    Args:
        model: trained; its mode and its parameters are left as they were.
        path: file to write; its directory must exist.
        tolerance: largest allowed difference to torch of any logit or score.
        engines: in which the file is compared with torch.

    Returns:
        The path.

    Raises:
        GateFailed: the graph is not as promised, or an engine differs from torch by more than
            `tolerance`; nothing is written.
        BackendUnavailable: an engine is not installed.
        OutputError: the file could not be written.
    """
    path = Path(path)
    with as_exported(model):
        exported = _trace(model)
        keep_position_tables(exported, model)
        spell_gelu(exported)
        name_by_module(exported.graph)
        strip_notes(exported)
        exported.ir_version = IR_VERSION
        exported.producer_name = PRODUCER
        exported.producer_version = __version__
        exported.graph.name = f"realmnet_{model.size}_{model.image}"
        onnx.checker.check_model(exported, full_check=True)
        _require_promised_operators(exported, model)
        raw = exported.SerializeToString(deterministic=True)
        _require_parity(model, raw, tolerance, engines)
    write_atomically(path, raw)
    return path


def read_signature(model: onnx.ModelProto, source: str) -> Signature:
    """Read what a file takes and answers, refusing files that this toolkit did not export.

    Args:
        model: a loaded ONNX file.
        source: its name, for errors.

    Raises:
        ConfigurationError: another producer, input or outputs.
    """
    inputs = {entry.name: static_shape(entry) for entry in model.graph.input}
    outputs = {entry.name: static_shape(entry) for entry in model.graph.output}
    image = inputs.get(INPUT)
    logits, maps = (outputs.get(name) for name in OUTPUTS)
    if (
        model.producer_name != PRODUCER
        or len(inputs) != 1
        or len(outputs) != 2
        or image is None
        or image != (1, 3, image[-1], image[-1])
        or logits is None
        or maps is None
        or len(maps) != 4
        or logits != maps[:2]
    ):
        raise ConfigurationError(
            f"{source} was not exported by realmnet (producer '{model.producer_name}', inputs "
            f"{inputs}, outputs {outputs}); expected one static input '{INPUT}' (1, 3, S, S) and "
            "the outputs 'logits' (1, L) and 'score_maps' (1, L, h, w); make it with "
            "`realmnet export`"
        )
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    return Signature(size=image[-1], labels=logits[1], opset=opset, ir_version=model.ir_version)


def read_onnx(path: str | Path) -> tuple[onnx.ModelProto, Signature]:
    """Load and check a file that `export_onnx` or `quantise` wrote.

    Raises:
        MissingPath: there is no such file.
        ConfigurationError: no ONNX file, or not one of this toolkit.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingPath(f"no file '{path}'; give an ONNX file made by `realmnet export`")
    try:
        model = onnx.load_from_string(path.read_bytes())
    except MemoryError:
        raise
    except Exception as error:  # protobuf's own error class differs by backend
        raise ConfigurationError(
            f"'{path}' is no ONNX file ({' '.join(str(error).split())}); make one with "
            "`realmnet export`"
        ) from error
    return model, read_signature(model, f"'{path}'")


def require_same_model(path: str | Path, size: int, labels: int) -> None:
    """Return where a file of `export_onnx` has the input and the labels of a checkpoint.

    Args:
        path: of the file.
        size: side of the checkpoint's input, pixels.
        labels: number of the checkpoint's labels.

    Raises:
        MissingPath, ConfigurationError: as `read_onnx`, or another size or number.
    """
    _, signature = read_onnx(path)
    if (signature.size, signature.labels) != (size, labels):
        raise ConfigurationError(
            f"'{path}' takes {signature.size} px and answers {signature.labels} labels; the "
            f"checkpoint {size} px and {labels}: export it again"
        )


@contextlib.contextmanager
def as_exported(model: RealMNet) -> Iterator[None]:
    """Evaluation mode with every cache cold, and the caller's mode restored afterwards."""
    modes = {module: module.training for module in model.modules()}
    try:
        # timm's attention forgets its cache of gathered biases when its mode is set
        model.train()
        model.eval()
        yield
    finally:
        model.train()
        for module, training in modes.items():
            module.training = training


def _trace(model: RealMNet) -> onnx.ModelProto:
    device = next(model.parameters()).device
    image = torch.zeros(1, 3, model.image, model.image, device=device)
    with (
        torch.no_grad(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            model,
            (image,),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            optimize=True,
            verbose=False,
        )
    if program is None:
        raise GateFailed("torch exported nothing; use a torch of version 2.6 or newer")
    # a copy: the program's own protobuf shares memory with the model's parameters
    return onnx.load_from_string(program.model_proto.SerializeToString())


def _require_promised_operators(exported: onnx.ModelProto, model: RealMNet) -> None:
    counts = {"LayerNormalization": 0, "BatchNormalization": 0}
    for node in exported.graph.node:
        if node.op_type in counts:
            counts[node.op_type] += 1
    norms = sum(isinstance(module, torch.nn.LayerNorm) for module in model.modules())
    if counts["LayerNormalization"] != norms:
        raise GateFailed(
            f"{counts['LayerNormalization']} LayerNormalization nodes for {norms} layer norms of "
            "the model; the exporter split some: use a torch of version 2.6 or newer"
        )
    if counts["BatchNormalization"]:
        raise GateFailed(
            f"{counts['BatchNormalization']} batch norms were not folded into a convolution; "
            "only norms that follow a convolution can be folded"
        )


def _require_parity(
    model: RealMNet, raw: bytes, tolerance: float, engines: tuple[Engine, ...]
) -> None:
    """Compare with torch on noise, a flat picture and a ramp, in every engine at FP32."""
    images = probe_images(model.image)
    with torch.no_grad():
        device = next(model.parameters()).device
        expected = [
            tuple(part.cpu().numpy() for part in model(torch.from_numpy(image).to(device)))
            for image in images
        ]
    request = EngineRequest(precision="fp32", threads=1, size=model.image, labels=model.labels)
    for engine in engines:
        backend = load_engine(engine)(raw, request)
        try:
            for image, (logits, maps) in zip(images, expected, strict=True):
                answer = backend.infer(image)
                for name, reference, found in zip(OUTPUTS, (logits, maps), answer, strict=True):
                    largest = tensor_errors(reference, found).largest
                    if not largest <= tolerance:
                        raise GateFailed(
                            f"{engine} differs from torch by {largest:.2e} in '{name}'; "
                            f"{tolerance:.0e} is allowed: the export is wrong, nothing was written"
                        )
        finally:
            backend.close()


def probe_images(size: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Three fixed inputs (1, 3, size, size) float32 in [0, 1]: noise, mid-grey, a ramp."""
    shape = (1, 3, size, size)
    noise = np.random.default_rng(0).random(shape, np.float32)
    ramp = np.broadcast_to(np.linspace(0, 1, size, dtype=np.float32), shape)
    return [noise, np.full(shape, 0.5, np.float32), np.ascontiguousarray(ramp)]
