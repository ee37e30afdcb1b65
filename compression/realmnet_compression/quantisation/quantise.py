"""One INT8 file for onnxruntime and OpenVINO that answers like the FP32 file it was made from.

Weights of all products outside the head become INT8, symmetric and per output channel, and the
biases are corrected for their rounding. The activations of linear products and of dense
convolutions become unsigned 8-bit with ranges of least squared error; those of depthwise
convolutions stay FP32, as do attention, norms, softmax, GELU and the head. Where too many
decisions on development pictures would change, activations go back to FP32, the one that disturbs
the logits most first, until it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx

from realmnet_compression.answers import ask
from realmnet_compression.export_onnx import ENGINES, read_onnx
from realmnet_compression.memory import calibrating_within_memory
from realmnet_compression.quantisation.activations import Float32Array, Range, calibrate_ranges
from realmnet_compression.quantisation.bias_correction import channel_means, correct_biases
from realmnet_compression.quantisation.products import Kind, Product, find_products
from realmnet_compression.quantisation.qdq import write_int8
from realmnet_compression.quantisation.sensitivity import rank_by_disturbance
from realmnet_runtime.bundles.manifest import Engine, Precision
from realmnet_runtime.errors import ConfigurationError, GateFailed, UsageError
from realmnet_runtime.files import write_atomically

_GIVEN_BACK_AT_ONCE: Final = 8
"""Share of the remaining INT8 activations given back in one step: one in this many."""


class QuantiseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a file is quantised.

    Attributes:
        activations: kinds of products whose activations become 8-bit.
        correct_biases: whether biases take back the mean error of rounded weights.
        most_flips: share of label decisions on check pictures that may differ between FP32 and
            INT8, and between the engines; below the limit of the release, since check pictures
            are not the test's.
        ranked_on: check pictures on which activations are ranked when some must go back.
        threads: of the engines.
    """

    activations: tuple[Kind, ...] = ("linear", "convolution")
    correct_biases: bool = True
    most_flips: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.007
    ranked_on: Annotated[int, msgspec.Meta(ge=1)] = 32
    threads: Annotated[int, msgspec.Meta(ge=1)] = 2


class Check(msgspec.Struct, frozen=True):
    """Development pictures on which FP32 and INT8 must decide alike.

    Attributes:
        tensors: (1, 3, S, S) float32 each, not those of the calibration.
        logit_thresholds: (L,) logits from which on a label is found.
    """

    tensors: Sequence[Float32Array]
    logit_thresholds: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if not self.tensors:
            raise UsageError(
                "no check pictures; give development pictures besides those calibrated"
            )


class QuantiseReport(msgspec.Struct, frozen=True):
    """What became of the products.

    Attributes:
        int8: products with INT8 weights and activations, by name.
        weights_only: products with INT8 weights and FP32 activations, as the settings say.
        given_back: products whose activations went back to FP32 because decisions changed, in
            the order in which they went.
        flips: share of check decisions that differ, `<engine>` against FP32 and `engines`
            between them; empty without check pictures.
    """

    int8: tuple[str, ...]
    weights_only: tuple[str, ...]
    given_back: tuple[str, ...]
    flips: dict[str, float]


def quantise(
    onnx_path: str | Path,
    out_path: str | Path,
    calibration: Sequence[Float32Array],
    *,
    check: Check | None = None,
    settings: QuantiseSettings | None = None,
) -> QuantiseReport:
    """Write the INT8 form of an exported file.

    Args:
        onnx_path: FP32 file of `export_onnx`.
        out_path: file to write.
        calibration: (1, 3, S, S) float32 tensors of development pictures.
        check: development pictures on which decisions must hold; None checks nothing.
        settings: see there.

    Raises:
        MissingPath, ConfigurationError: no FP32 file of this toolkit.
        UsageError: no calibration pictures, or of another size.
        OutOfMemory: nothing is written.
        GateFailed: decisions change until no linear product is left in INT8; nothing is written.
        OutputError: the file could not be written.
    """
    with calibrating_within_memory(len(calibration)):
        raw, report = _quantised(onnx_path, calibration, check, settings or QuantiseSettings())
    write_atomically(Path(out_path), raw)
    return report


def _quantised(
    onnx_path: str | Path,
    calibration: Sequence[Float32Array],
    check: Check | None,
    settings: QuantiseSettings,
) -> tuple[bytes, QuantiseReport]:
    model, signature = read_onnx(onnx_path)
    require_fp32(model, onnx_path)
    require_tensors(calibration, signature.size)
    products = find_products(model.graph)
    corrected = model
    if settings.correct_biases:
        means = channel_means(model, products, calibration, settings.threads)
        corrected = correct_biases(model, products, means)
    wanted = [product for product in products if product.kind in settings.activations]
    names = sorted({product.activation for product in wanted})
    values = calibrate_ranges(corrected, names, calibration, settings.threads)
    ranges = {product.name: values[product.activation] for product in wanted}
    writing = _Writing(model, corrected, products, signature.labels, settings)
    given_back, flips = writing.settle(ranges, check)
    return writing.bytes_of(ranges), QuantiseReport(
        int8=tuple(p.name for p in products if p.name in ranges),
        weights_only=tuple(p.name for p in products if p.kind not in settings.activations),
        given_back=tuple(given_back),
        flips=flips,
    )


class _Writing:
    """The FP32 file, what is known of it, and the search for what can stay INT8."""

    def __init__(
        self,
        reference: onnx.ModelProto,
        corrected: onnx.ModelProto,
        products: Sequence[Product],
        labels: int,
        settings: QuantiseSettings,
    ) -> None:
        self._reference = reference
        self._corrected = corrected
        self._products = products
        self._labels = labels
        self._settings = settings

    def bytes_of(self, ranges: Mapping[str, Range]) -> bytes:
        """The file with these activations in 8 bits."""
        quantised = write_int8(self._corrected, self._products, ranges)
        onnx.checker.check_model(quantised, full_check=True)
        raw: bytes = quantised.SerializeToString(deterministic=True)
        return raw

    def settle(
        self, ranges: dict[str, Range], check: Check | None
    ) -> tuple[list[str], dict[str, float]]:
        """Remove ranges until the check holds; return what was removed and the last flips."""
        if check is None:
            return [], {}
        expected = self._decisions(
            self._reference.SerializeToString(deterministic=True), "onnxruntime", "fp32", check
        )
        # without a linear product in INT8 onnxruntime would compute nothing in INT8
        linear = [product for product in self._products if product.kind == "linear"]
        given_back: list[str] = []
        ranked: list[str] = []
        while True:
            flips = self._flips(self.bytes_of(ranges), expected, check)
            if max(flips.values()) <= self._settings.most_flips:
                return given_back, flips
            if not ranked:
                pictures = check.tensors[: self._settings.ranked_on]
                ranked = rank_by_disturbance(
                    self._corrected, self._products, ranges, pictures, self._settings.threads
                )
            for name in ranked[: max(1, len(ranges) // _GIVEN_BACK_AT_ONCE)]:
                ranked.remove(name)
                given_back.append(name)
                del ranges[name]
            if not any(product.name in ranges for product in linear):
                raise GateFailed(
                    f"{1000 * max(flips.values()):.1f} of 1,000 decisions change with hardly a "
                    f"product left in INT8; {1000 * self._settings.most_flips:g} may: train "
                    "longer or allow more in quantisation.most_flips; nothing was written"
                )

    def _flips(self, raw: bytes, expected: npt.NDArray[np.bool_], check: Check) -> dict[str, float]:
        found = {engine: self._decisions(raw, engine, "int8", check) for engine in ENGINES}
        flips: dict[str, float] = {
            engine: float((found[engine] != expected).mean()) for engine in ENGINES
        }
        flips["engines"] = float((found[ENGINES[0]] != found[ENGINES[1]]).mean())
        return flips

    def _decisions(
        self, raw: bytes, engine: Engine, precision: Precision, check: Check
    ) -> npt.NDArray[np.bool_]:
        answers = ask(
            raw,
            engine,
            precision,
            check.tensors,
            labels=self._labels,
            threads=self._settings.threads,
        )
        found: npt.NDArray[np.bool_] = answers.logits >= check.logit_thresholds
        return found


def require_fp32(model: onnx.ModelProto, path: str | Path) -> None:
    """Refuse a file that is quantised already.

    Raises:
        ConfigurationError: it is.
    """
    if any(node.op_type in {"QuantizeLinear", "DequantizeLinear"} for node in model.graph.node):
        raise ConfigurationError(
            f"'{path}' is quantised already; give the FP32 file of `realmnet export`"
        )


def require_tensors(tensors: Sequence[Float32Array], size: int) -> None:
    """Refuse calibration tensors that are none, or are not (1, 3, size, size) float32.

    Raises:
        UsageError: they are not.
    """
    if not tensors:
        raise UsageError("no calibration pictures; give at least one development picture")
    for tensor in tensors:
        if tensor.shape != (1, 3, size, size) or tensor.dtype != np.float32:
            raise UsageError(
                f"calibration tensor of {tensor.shape} {tensor.dtype}; the file takes "
                f"(1, 3, {size}, {size}) float32: prepare the pictures with its own specification"
            )
