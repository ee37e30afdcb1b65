"""A single file in an engine, as a program that embeds it runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime
import openvino

from realmnet_compression.embedding.single_file import (
    BOX,
    IMAGE,
    MASK,
    PROBABILITIES,
    SCORE_MAPS,
)
from realmnet_runtime.aperture.field_of_view import FieldOfView
from realmnet_runtime.backends import silence_openvino
from realmnet_runtime.bundles.manifest import Engine, Precision
from realmnet_runtime.errors import ConfigurationError

Float32Array = npt.NDArray[np.float32]
Answer = Callable[[npt.NDArray[np.uint8], FieldOfView], tuple[Float32Array, Float32Array]]
"""From (H, W, 3) uint8 RGB and its field of view to probabilities (L,) and score maps (L, h, w)."""

ENGINES: Final[tuple[Engine, ...]] = ("onnxruntime", "openvino")


def open_single_file(
    content: bytes, engine: Engine, precision: Precision, *, threads: int = 1
) -> Answer:
    """Load a single file.

    Args:
        content: bytes of a file of `embed_variant`.
        engine: onnxruntime or openvino.
        precision: in which it computes; `fp32` computes an INT8 file's products in FP32.
        threads: of the engine.

    Raises:
        ConfigurationError: another engine.
    """
    if engine == "onnxruntime":
        return _in_onnxruntime(content, precision, threads)
    if engine == "openvino":
        return _in_openvino(content, precision, threads)
    raise ConfigurationError(f"engine '{engine}' reads no single file; {' and '.join(ENGINES)} do")


def _in_onnxruntime(content: bytes, precision: Precision, threads: int) -> Answer:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    unfused = "1" if precision == "fp32" else "0"
    options.add_session_config_entry("session.disable_quant_qdq", unfused)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    has_mask = any(entry.name == MASK for entry in session.get_inputs())

    def answer(
        image: npt.NDArray[np.uint8], field_of_view: FieldOfView
    ) -> tuple[Float32Array, Float32Array]:
        feeds = _feeds(image, field_of_view, has_mask=has_mask)
        probabilities, maps = session.run([PROBABILITIES, SCORE_MAPS], feeds)
        return np.asarray(probabilities, np.float32)[0], np.asarray(maps, np.float32)[0]

    return answer


def _in_openvino(content: bytes, precision: Precision, threads: int) -> Answer:
    silence_openvino()
    core = openvino.Core()
    settings: dict[str, str | int] = {
        # The resize is exact in float32 alone, whatever the network computes in.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
    }
    if precision == "fp32":
        settings["LP_TRANSFORMS_MODE"] = "NO"
    compiled = core.compile_model(core.read_model(model=content), "CPU", settings)
    request = compiled.create_infer_request()
    has_mask = any(MASK in port.get_names() for port in compiled.inputs)

    def answer(
        image: npt.NDArray[np.uint8], field_of_view: FieldOfView
    ) -> tuple[Float32Array, Float32Array]:
        request.infer(_feeds(image, field_of_view, has_mask=has_mask))
        return (
            np.array(request.get_tensor(PROBABILITIES).data[0], np.float32),
            np.array(request.get_tensor(SCORE_MAPS).data[0], np.float32),
        )

    return answer


def _feeds(
    image: npt.NDArray[np.uint8], field_of_view: FieldOfView, *, has_mask: bool
) -> dict[str, npt.NDArray[np.generic]]:
    feeds: dict[str, npt.NDArray[np.generic]] = {
        IMAGE: np.ascontiguousarray(image),
        BOX: np.array(field_of_view.box, np.int64),
    }
    if has_mask:
        feeds[MASK] = field_of_view.mask.astype(np.uint8)
    return feeds
