"""An OpenVINO IR as two files: a graph as XML, and its constants beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from realmnet_compression.export_onnx import INPUT, OUTPUTS
from realmnet_compression.graphs.openvino_graph import load_openvino, name_layers
from realmnet_runtime._version import __version__
from realmnet_runtime.bundles.manifest import IR_SUFFIX, Precision
from realmnet_runtime.errors import ConfigurationError, MissingPath, UsageError
from realmnet_runtime.files import write_atomically

if TYPE_CHECKING:
    import openvino

WEIGHTS_SUFFIX: Final = ".bin"

_FLOAT_HINT: Final = "f32"


class IrFiles(msgspec.Struct, frozen=True):
    """Content of the two files."""

    model: bytes
    weights: bytes

    @property
    def size(self) -> int:
        """Bytes of both."""
        return len(self.model) + len(self.weights)


def encode_ir(graph: openvino.Model, precision: Precision) -> IrFiles:
    """The two files of a graph; FP32 constants stay FP32.

    Beside the graph they say how it is to be run. OpenVINO reads the part of `runtime_options` it
    knows (2026.4: that activations are not rounded to INT8 at run time, and not the precision);
    the runtime of this toolkit states both to the engine in any case.

    Args:
        graph: its layers are named anew, in place.
        precision: how its weights are stored.
    """
    name_layers(graph)
    for path, value in (
        (["realmnet", "version"], __version__),
        (["realmnet", "precision"], precision),
        (["realmnet", "inference_precision"], _FLOAT_HINT),
        (["runtime_options", "INFERENCE_PRECISION_HINT"], _FLOAT_HINT),
        (["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"], "0"),
    ):
        graph.set_rt_info(value, path)
    with tempfile.TemporaryDirectory(prefix="realmnet-") as folder:
        path_of_model = Path(folder) / f"made{IR_SUFFIX}"
        load_openvino().save_model(graph, path_of_model, compress_to_fp16=False)
        return IrFiles(
            path_of_model.read_bytes(), path_of_model.with_suffix(WEIGHTS_SUFFIX).read_bytes()
        )


class IrFacts(msgspec.Struct, frozen=True):
    """An IR of ours, as it is read.

    Attributes:
        files: content.
        precision: how its weights are stored.
        size: side of its input, pixels.
        labels: number of labels.
    """

    files: IrFiles
    precision: Precision
    size: int
    labels: int

    @property
    def content(self) -> tuple[bytes, bytes]:
        """Graph and constants."""
        return self.files.model, self.files.weights


def read_ir(path: str | Path) -> IrFacts:
    """Read both files of an IR and what they say of themselves.

    Args:
        path: of the XML; its constants lie beside it.

    Raises:
        MissingPath: one of the two is not there.
        ConfigurationError: no IR, or not one of this toolkit.
    """
    path = Path(path)
    weights = path.with_suffix(WEIGHTS_SUFFIX)
    for file in (path, weights):
        if not file.is_file():
            raise MissingPath(
                f"no file '{file}'; an OpenVINO IR is *{IR_SUFFIX} and *{WEIGHTS_SUFFIX} side by "
                "side"
            )
    files = IrFiles(path.read_bytes(), weights.read_bytes())
    openvino = load_openvino()
    try:
        graph = openvino.Core().read_model(model=files.model, weights=files.weights)
        precision = msgspec.convert(
            str(graph.get_rt_info(["realmnet", "precision"]).astype(str)), Precision
        )
        size = graph.input(INPUT).shape[-1]
        labels = graph.output(OUTPUTS[0]).shape[-1]
    except (RuntimeError, msgspec.ValidationError) as error:
        raise ConfigurationError(
            f"'{path}' is no OpenVINO IR of this toolkit ({str(error).splitlines()[0]}); make one "
            "with an openvino step of `realmnet compress`"
        ) from error
    return IrFacts(files, precision, size, labels)


def write_ir(files: IrFiles, path: str | Path) -> tuple[Path, Path]:
    """Write both files, the constants first, each whole or not at all.

    Args:
        files: content.
        path: of the XML; the constants come beside it, ending in `.bin`.

    Returns:
        Paths of the model and of its weights.

    Raises:
        OutputError: a file could not be written.
    """
    path = require_ir_name(path)
    weights = path.with_suffix(WEIGHTS_SUFFIX)
    write_atomically(weights, files.weights)
    write_atomically(path, files.model)
    return path, weights


def require_ir_name(path: str | Path) -> Path:
    """The path, where it is named as an IR is.

    Raises:
        UsageError: it is not.
    """
    path = Path(path)
    if path.suffix != IR_SUFFIX:
        raise UsageError(
            f"OpenVINO IR '{path.name}' must be named *{IR_SUFFIX}: its weights lie beside it as "
            f"*{WEIGHTS_SUFFIX}"
        )
    return path
