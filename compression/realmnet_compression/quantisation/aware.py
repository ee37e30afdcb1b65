"""Quantisation-aware training: a network learns to answer, rounded to 8 bits, as it did in FP32.

NNCF puts quantisers into the network at ranges calibrated on development pictures; a short
training then moves weights and ranges so that logits and score maps come back to those of the
FP32 network. Labels are not needed: the FP32 network is the teacher. The head stays FP32.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import msgspec
import torch
from msgspec import Meta
from torch import nn

from realmnet_compression.quantisation.activations import Float32Array
from realmnet_compression.quantisation.aware_distance import distance
from realmnet_compression.quantisation.aware_openvino import convert, plain_weights
from realmnet_compression.quantisation.aware_pictures import Batches, TrainingPictures
from realmnet_compression.quantisation.calibration import (
    CalibrationPlan,
    InputTensors,
    choose_calibration,
)
from realmnet_compression.quantisation.nncf_library import (
    is_quantiser,
    is_smoothing,
    load_nncf,
    quietly,
)
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.config import AugmentConfig, Stage
from realmnet_training.fitting.optimiser import build_optimiser, build_schedule
from realmnet_training.model import RealMNet
from realmnet_training.pictures.prepared import PreparedSplit

HEAD_SCOPE: Final = "head/"
"""NNCF names an operator by the modules it runs in; those of the head start so."""

_SMOOTHING: Final = 0.95
"""How far outliers of linear layers' inputs move into the weights; NNCF's own for transformers."""

_LAST_SHARE: Final = 0.01

Positive = Annotated[float, Meta(gt=0.0)]
NotNegative = Annotated[float, Meta(ge=0.0)]
Count = Annotated[int, Meta(ge=1)]
Progress = Callable[[int, int], None]


class AwareSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a network is trained to be quantised.

    Attributes:
        epochs: passes over the training table.
        steps: most steps of an epoch; 0 goes through the whole table.
        batch: pictures per step.
        lr: highest learning rate of AdamW; falls by cosine to 1 % of it. No weight decay.
        clip: largest gradient norm.
        seed: of the pictures' order and augmentation.
        temperature: both networks' logits are divided by it in the soft-label loss.
        maps: weight of the score maps' squared error beside the soft labels.
        preset: activations' ranges: `mixed` has a zero point, `performance` none.
        smooth: whether outliers move from linear layers' inputs into their weights first.
        calibration: which development pictures set the first ranges.
    """

    epochs: Count = 1
    steps: Annotated[int, Meta(ge=0)] = 0
    batch: Count = 8
    lr: Positive = 2e-5
    clip: Positive = 1.0
    seed: Annotated[int, Meta(ge=0)] = 42
    temperature: Positive = 2.0
    maps: NotNegative = 1.0
    preset: Literal["mixed", "performance"] = "mixed"
    smooth: bool = True
    calibration: CalibrationPlan = CalibrationPlan()


class AwareReport(msgspec.Struct, frozen=True):
    """What a quantisation-aware training did.

    Attributes:
        quantisers: of weights and of activations that were put in.
        steps: taken, over all epochs.
        losses: mean distance to the teacher of each epoch; see `distance`.
    """

    quantisers: int
    steps: int
    losses: tuple[float, ...]


@dataclass(frozen=True)
class AwareModel:
    """A network trained to be quantised, in both of its forms.

    Attributes:
        openvino: an `openvino.Model` with INT8 weights; see `convert`.
        plain: the trained weights without quantisers, to be exported and quantised as any others.
        report: what was done.
    """

    openvino: Any
    plain: RealMNet
    report: AwareReport


def quantise_aware(
    model: RealMNet,
    development: PreparedSplit,
    training: PreparedSplit,
    spec: PreprocessSpec,
    *,
    augmentation: AugmentConfig | None = None,
    settings: AwareSettings | None = None,
    progress: Progress = lambda _done, _total: None,
) -> AwareModel:
    """Train a network to be quantised, with itself in FP32 as teacher.

    Args:
        model: FP32; left as it is.
        development: pictures, of which some set the first ranges.
        training: pictures that move weights and ranges.
        spec: the device's pre-processing, of the model's image size.
        augmentation: of the training pictures; None shows them as they are.
        settings: see there.
        progress: told steps done and in all.

    Raises:
        UsageError: tables of other partitions than their names say.
        ConfigurationError: a label with too few development pictures, fewer training pictures than
            one batch, or a distance to the teacher that is not finite.
        GateFailed: the converted model is not as promised.
    """
    settings = settings or AwareSettings()
    rows = choose_calibration(development.split, settings.calibration)
    batches = TrainingPictures(
        training,
        spec,
        batch=settings.batch,
        steps=settings.steps,
        seed=settings.seed,
        augmentation=augmentation,
    )
    calibration = InputTensors(development, spec, rows)
    quantised, report = train_aware(model, model, calibration, batches, settings, progress=progress)
    plain = plain_weights(quantised, model)
    return AwareModel(openvino=convert(quantised, model.image), plain=plain, report=report)


def insert_quantisers(
    model: RealMNet, calibration: Sequence[Float32Array], settings: AwareSettings
) -> nn.Module:
    """Copy a network and put 8-bit quantisers into the copy, outside the head.

    Args:
        model: FP32; left as it is.
        calibration: (1, 3, S, S) float32 of development pictures.
        settings: of ranges and smoothing.

    Returns:
        The copy in evaluation mode; it answers as the model does and is differentiable.

    Raises:
        UsageError: no calibration pictures.
    """
    if not calibration:
        raise UsageError("no calibration pictures; give at least one development picture")
    nncf = load_nncf()
    device = next(model.parameters()).device
    advanced = nncf.AdvancedQuantizationParameters(
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(
            convolution=-1, matmul=_SMOOTHING if settings.smooth else -1
        )
    )
    with quietly(), torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        quantised: nn.Module = nncf.quantize(
            copy.deepcopy(model).eval(),
            nncf.Dataset(calibration, lambda tensor: torch.from_numpy(tensor).to(device)),
            preset=nncf.QuantizationPreset(settings.preset),
            subset_size=len(calibration),
            model_type=nncf.ModelType.TRANSFORMER,
            ignored_scope=nncf.IgnoredScope(patterns=[HEAD_SCOPE]),
            advanced_parameters=advanced,
        )
    return quantised.eval()


def train_aware(
    model: RealMNet,
    teacher: RealMNet,
    calibration: Sequence[Float32Array],
    batches: Batches,
    settings: AwareSettings | None = None,
    *,
    progress: Progress = lambda _done, _total: None,
) -> tuple[nn.Module, AwareReport]:
    """Quantise a network and train it to answer like its teacher.

    Batch norms keep their statistics: those of the whole training are better than a short run's,
    and on the device they are folded away. The same arguments give the same weights.

    Args:
        model: FP32, on the device to train on; left as it is.
        teacher: FP32, usually the same; left as it is.
        calibration: (1, 3, S, S) float32 of development pictures.
        batches: of training pictures.
        settings: see there.
        progress: told steps done and in all.

    Returns:
        The trained copy with its quantisers, for `aware_openvino.convert` or `plain_weights`, and
        what was done.

    Raises:
        UsageError: no calibration pictures, or no training step.
        ConfigurationError: a teacher of other labels or another image size, or a distance that is
            not finite.
    """
    settings = settings or AwareSettings()
    _require_same_answers(model, teacher)
    if not len(batches):
        raise UsageError("no training step; give more training pictures or a smaller aware.batch")
    quantised = insert_quantisers(model, calibration, settings)
    _choose_what_learns(quantised)
    teaching = copy.deepcopy(teacher).eval().requires_grad_(requires_grad=False)
    total = settings.epochs * len(batches)
    losses: list[float] = []
    done = 0
    for epoch_losses in _epochs(quantised, teaching, batches, settings):
        mean = 0.0
        for number, loss in enumerate(epoch_losses, start=1):
            done += 1
            _require_finite(loss, done)
            mean += (loss - mean) / number
            progress(done, total)
        losses.append(mean)
    quantisers = sum(is_quantiser(module) for module in quantised.modules())
    return quantised, AwareReport(quantisers, done, tuple(losses))


def _epochs(
    quantised: nn.Module, teacher: nn.Module, batches: Batches, settings: AwareSettings
) -> Iterator[Iterator[float]]:
    optimiser = build_optimiser(quantised, settings.lr, weight_decay=0.0)
    stage = Stage(
        image=64,  # the schedule does not look at it
        epochs=settings.epochs,
        batch=settings.batch,
        lr=settings.lr,
        lr_end=_LAST_SHARE * settings.lr,
    )
    schedule = build_schedule(optimiser, stage, settings.epochs * len(batches))
    learning = [entry for group in optimiser.param_groups for entry in group["params"]]

    def steps(number: int) -> Iterator[float]:
        for images in batches.epoch(number):
            moved = images.to(learning[0].device)
            with torch.no_grad():
                wanted = teacher(moved)
            loss = distance(
                quantised(moved), wanted, temperature=settings.temperature, maps=settings.maps
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(learning, settings.clip)
            yield float(loss.detach())
            optimiser.step()
            schedule.step()

    for number in range(settings.epochs):
        yield steps(number)


def _choose_what_learns(quantised: nn.Module) -> None:
    for parameter in quantised.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    for module in quantised.modules():
        # a factor of inputs and the weights behind it would learn the same thing twice
        if is_smoothing(module):
            module.requires_grad_(requires_grad=False)


def _require_same_answers(model: RealMNet, teacher: RealMNet) -> None:
    ours, theirs = (model.image, model.labels), (teacher.image, teacher.labels)
    if ours != theirs:
        raise ConfigurationError(
            f"the teacher takes {theirs[0]} px and answers {theirs[1]} labels, the network takes "
            f"{ours[0]} px and answers {ours[1]}; give the FP32 network itself as teacher"
        )


def _require_finite(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise ConfigurationError(
            f"the distance to the teacher became {loss} in step {step}; lower aware.lr or "
            "aware.clip; nothing was written"
        )
