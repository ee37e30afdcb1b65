"""An OpenVINO IR as two files: a graph as XML, and its constants beside it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from realmnet_compression.graphs.openvino_graph import load_openvino, name_layers
from realmnet_runtime._version import __version__
from realmnet_runtime.errors import UsageError
from realmnet_runtime.files import write_atomically
from realmnet_runtime.manifest import IR_SUFFIX, Precision

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
