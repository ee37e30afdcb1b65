"""INT8 for OpenVINO by NNCF, without training, and layers that go back where decisions change.

NNCF's transformer scheme: weights symmetric per output channel, activations by the preset, outlier
channels smoothed into the weights, biases corrected. The head and the position-bias tables stay
FP32. Where too many decisions on development pictures would change, over all labels or of any one,
quantisers of activations are taken away until it holds, first those that disturb the logits most
for the work that goes back to FP32. Their layers' weights stay INT8 and are multiplied in FP32, so
the file grows by nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from realmnet_compression.answers import RawAnswers, ask
from realmnet_compression.export_onnx import INPUT, OUTPUTS
from realmnet_compression.graphs.openvino_graph import TABLE, load_openvino, name_layers
from realmnet_compression.memory import calibrating_within_memory
from realmnet_compression.openvino_files import IrFiles, encode_ir
from realmnet_compression.quantisation.nncf_library import load_nncf, quietly
from realmnet_compression.quantisation.quantise import Check, QuantiseReport, require_tensors
from realmnet_compression.quantisation.quantisers import (
    SWITCHES,
    activation_quantisers,
    integer_products,
    other_products,
    switchable,
    without,
    work_given_back,
)
from realmnet_runtime.bundles.manifest import Precision
from realmnet_runtime.errors import GateFailed

if TYPE_CHECKING:
    import openvino

OF_ALL: Final = "openvino"
OF_WORST_LABEL: Final = "openvino, worst label"
"""Names of the shares of changed decisions in the report."""

_GIVEN_BACK_AT_ONCE: Final = 8
"""Share of the remaining quantisers given back in one round: one in this many."""

_KEPT_FP32: Final = (r"^head[./].*", rf"(.*\.)?{TABLE}/.*")

Float32Array = npt.NDArray[np.float32]
Share = Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class PostTrainingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How NNCF quantises, and what must hold.

    Attributes:
        preset: `mixed` for asymmetric activations, `performance` for symmetric ones.
        smooth: how much of an outlier channel's range moves into the weights of a matrix product,
            0..1 (SmoothQuant's alpha).
        slow_bias_correction: measure each layer's error with the ones before it quantised.
        most_flips: share of label decisions on check pictures that may differ from FP32.
        most_flips_of_a_label: the same for each label by itself.
        rounds: times that quantisers may be taken away before the attempt counts as failed.
        ranked_on: check pictures on which quantisers are ranked when some must go.
        threads: of the engine while checking; NNCF takes as many as OpenVINO does.
    """

    preset: Literal["mixed", "performance"] = "mixed"
    smooth: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.95
    slow_bias_correction: bool = False
    most_flips: Share = 0.007
    most_flips_of_a_label: Share = 0.02
    rounds: Annotated[int, msgspec.Meta(ge=0)] = 8
    ranked_on: Count = 32
    threads: Count = 2


def quantise_post_training(
    graph: openvino.Model,
    calibration: Sequence[Float32Array],
    *,
    size: int,
    labels: int,
    check: Check | None = None,
    settings: PostTrainingSettings | None = None,
) -> tuple[IrFiles, QuantiseReport]:
    """Make the INT8 form of a graph.

    Args:
        graph: FP32, of `graph_of_onnx` or `graph_of_model`; left as it is.
        calibration: (1, 3, S, S) float32 tensors of development pictures; all are looked at.
        size: S.
        labels: number of labels.
        check: development pictures, others than those, on which decisions must hold; None checks
            nothing.
        settings: see there.

    Returns:
        The files, and what became of the products: in INT8, with INT8 weights at most, given back
        (in the order in which they went), and the shares of check decisions that differ.

    Raises:
        UsageError: no calibration pictures, or of another size.
        OutOfMemory: while calibrating.
        GateFailed: the head was quantised, or decisions change after all rounds.
    """
    settings = settings or PostTrainingSettings()
    require_tensors(calibration, size)
    with calibrating_within_memory(len(calibration)):
        quantised = _quantise(graph, calibration, settings)
    at_first = integer_products(quantised)
    _require_fp32_head(at_first)
    if check is None:
        return encode_ir(quantised, "int8"), QuantiseReport(
            tuple(at_first), tuple(other_products(quantised)), (), {}
        )
    exact = _decisions(encode_ir(graph.clone(), "fp32"), "fp32", check, labels, settings)
    search = _Search(quantised, exact, check, labels, settings)
    files, kept, flips = search.settle()
    return files, QuantiseReport(
        int8=tuple(kept),
        weights_only=tuple(other_products(quantised)),
        given_back=tuple(search.given_back),
        flips=flips,
    )


class _Search:
    """What NNCF made, what FP32 decides, and which quantisers must go for them to agree."""

    def __init__(
        self,
        quantised: openvino.Model,
        exact: npt.NDArray[np.bool_],
        check: Check,
        labels: int,
        settings: PostTrainingSettings,
    ) -> None:
        self.given_back: list[str] = []
        self._quantised = quantised
        self._exact = exact
        self._check = check
        self._labels = labels
        self._settings = settings

    def settle(self) -> tuple[IrFiles, list[str], dict[str, float]]:
        """Take quantisers away until the check holds; files, INT8 products and shares."""
        remaining = activation_quantisers(self._quantised)
        gone: list[str] = []
        ranked: list[str] = []
        current = self._quantised
        products = integer_products(current)
        rounds = 0
        while True:
            files = encode_ir(current.clone(), "int8")
            flips = self._flips(files)
            if self._holds(flips):
                return files, products, flips
            if rounds == self._settings.rounds:
                raise self._unmended(flips, products)
            rounds += 1
            ranked = ranked or self._ranked(remaining)
            now = ranked[: max(1, len(ranked) // _GIVEN_BACK_AT_ONCE)]
            gone += now
            ranked = ranked[len(now) :]
            current = without(self._quantised, gone)
            left = integer_products(current)
            self.given_back += [name for name in products if name not in left]
            products = left
            if not products or not ranked:
                raise self._unmended(flips, products)

    def _unmended(self, flips: dict[str, float], products: Collection[str]) -> GateFailed:
        return GateFailed(
            f"{1000 * flips[OF_ALL]:.1f} of 1,000 decisions change, of the worst label "
            f"{1000 * flips[OF_WORST_LABEL]:.1f}, with {len(products)} products left in INT8; "
            f"{1000 * self._settings.most_flips:g} and "
            f"{1000 * self._settings.most_flips_of_a_label:g} may: train longer, allow more "
            "rounds or more flips; nothing was written"
        )

    def _flips(self, files: IrFiles) -> dict[str, float]:
        found = _decisions(files, "int8", self._check, self._labels, self._settings)
        differ = found != self._exact
        return {
            OF_ALL: float(differ.mean()),
            OF_WORST_LABEL: float(differ.mean(axis=0).max()),
        }

    def _holds(self, flips: dict[str, float]) -> bool:
        return (
            flips[OF_ALL] <= self._settings.most_flips
            and flips[OF_WORST_LABEL] <= self._settings.most_flips_of_a_label
        )

    def _ranked(self, names: Sequence[str]) -> list[str]:
        """First those that disturb the logits most for the work that goes back to FP32.

        Of each alone, the mean square over work. By disturbance alone the wide layers of the stem
        went first, whose FP32 form costs most.
        """
        tensors = self._check.tensors[: self._settings.ranked_on]
        compiled = _compile_switchable(self._quantised, names, self._settings.threads)
        none = np.zeros(len(names), np.bool_)
        disturbance = dict.fromkeys(names, 0.0)
        for tensor in tensors:
            undisturbed = _logits(compiled, tensor, none)
            for place, name in enumerate(names):
                one = none.copy()
                one[place] = True
                found = _logits(compiled, tensor, one)
                disturbance[name] += float(np.square(found - undisturbed).mean())
        work = work_given_back(self._quantised)
        return sorted(names, key=lambda name: (-disturbance[name] / work[name], name))


def _quantise(
    graph: openvino.Model, calibration: Sequence[Float32Array], settings: PostTrainingSettings
) -> openvino.Model:
    nncf = load_nncf()
    advanced = importlib.import_module("nncf.quantization.advanced_parameters")
    with quietly():
        quantised: openvino.Model = nncf.quantize(
            graph.clone(),
            nncf.Dataset(calibration),
            preset=nncf.QuantizationPreset(settings.preset),
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(calibration),
            fast_bias_correction=not settings.slow_bias_correction,
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(patterns=list(_KEPT_FP32), validate=False),
            advanced_parameters=advanced.AdvancedQuantizationParameters(
                smooth_quant_alphas=advanced.AdvancedSmoothQuantParameters(matmul=settings.smooth)
            ),
        )
    name_layers(quantised)
    return quantised


def _require_fp32_head(products: Collection[str]) -> None:
    quantised = [name for name in products if name.startswith("head")]
    if quantised:
        raise GateFailed(
            f"NNCF quantised '{quantised[0]}' of the head, which must stay FP32; use the NNCF "
            "version this toolkit names"
        )


def _decisions(
    files: IrFiles,
    precision: Precision,
    check: Check,
    labels: int,
    settings: PostTrainingSettings,
) -> npt.NDArray[np.bool_]:
    answers: RawAnswers = ask(
        files.model,
        "openvino",
        precision,
        check.tensors,
        labels=labels,
        threads=settings.threads,
        weights=files.weights,
    )
    found: npt.NDArray[np.bool_] = answers.logits >= check.logit_thresholds
    return found


def _compile_switchable(
    graph: openvino.Model, names: Sequence[str], threads: int
) -> openvino.CompiledModel:
    """With no promise of a precision: what is switched off is FP32 here."""
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        "INFERENCE_NUM_THREADS": threads,
    }
    compiled: openvino.CompiledModel = (
        load_openvino().Core().compile_model(switchable(graph, names), "CPU", options)
    )
    return compiled


def _logits(
    compiled: openvino.CompiledModel, tensor: Float32Array, switches: npt.NDArray[np.bool_]
) -> Float32Array:
    answers = compiled({INPUT: tensor, SWITCHES: switches})
    return np.array(answers[OUTPUTS[0]], np.float32)
