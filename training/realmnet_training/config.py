"""Presets: what is trained, on what, how; TOML files read once into frozen structs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import LABEL_SETS, LabelSet
from realmnet_runtime.preprocess import PreprocessSpec
from realmnet_runtime.suggestions import nearest
from realmnet_training.backbone import Size, token_grids
from realmnet_training.csra import TEMPERATURES
from realmnet_training.preset_files import read_preset

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Share = Annotated[float, Meta(ge=0.0, lt=1.0)]
Positive = Annotated[float, Meta(gt=0.0)]
NotNegative = Annotated[float, Meta(ge=0.0)]
Count = Annotated[int, Meta(ge=1)]


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network; see `RealMNet`."""

    size: Size = "21m"
    heads: int = 2
    lam: NotNegative = 1.2
    drop_path: Share = 0.5
    pretrained: str | None = None

    def __post_init__(self) -> None:
        if self.heads not in TEMPERATURES:
            raise ConfigurationError(
                f"model.heads = {self.heads}; the CSRA head takes "
                f"{', '.join(map(str, TEMPERATURES))}"
            )


class DataConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which tables of the data set are used for what."""

    train: str = "train"
    development: str = "val"
    label_set: str = "psmm"

    def __post_init__(self) -> None:
        if self.label_set not in LABEL_SETS:
            raise ConfigurationError(
                f"data.label_set = '{self.label_set}'; there are {', '.join(LABEL_SETS)}"
                f"{nearest(self.label_set, LABEL_SETS)}"
            )

    @property
    def labels(self) -> LabelSet:
        """The label set itself."""
        return LABEL_SETS[self.label_set]


class AugmentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Augmentation of one image, in this order, each with its own probability (paper, Methods).

    Attributes:
        erase: filling a rectangle of 5 to 30 % of the area, aspect 0.3 to 3.3, with 128.
        affine: scaling each axis by 0.8 to 1.2, rotating and shearing.
        rotate, shear: degrees. `exact_angles` takes them as they are, as the released
            configuration is read by its library; otherwise they are ranges, plus or minus.
        flip_horizontal, flip_vertical: mirroring.
        blur: Gaussian, kernel 7, sigma 0.1 to 1 px.
        jitter: changing colour; `brightness`, `contrast` and `saturation` are the largest change
            of their factor, `hue` the largest turn as a share of the circle.
        noise: Gaussian per channel, variance 10 to 50 on the 0..255 scale.
    """

    erase: Probability = 0.3
    affine: Probability = 0.3
    rotate: NotNegative = 15.0
    shear: NotNegative = 10.0
    exact_angles: bool = False
    flip_horizontal: Probability = 0.3
    flip_vertical: Probability = 0.1
    blur: Probability = 0.3
    jitter: Probability = 0.3
    brightness: Share = 0.25
    contrast: Share = 0.25
    saturation: Share = 0.25
    hue: Annotated[float, Meta(ge=0.0, le=0.5)] = 0.25
    noise: Probability = 0.3


class BatchMixConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mixup or cutmix, at most one per batch; the paper uses 0.3 each."""

    mixup: Probability = 0.0
    mixup_alpha: Positive = 0.6
    cutmix: Probability = 0.0
    cutmix_alpha: Positive = 1.0

    def __post_init__(self) -> None:
        if self.mixup + self.cutmix > 1.0:
            raise ConfigurationError(
                f"mix.mixup {self.mixup} + mix.cutmix {self.cutmix} exceed 1; one batch has one"
            )


class AsymmetricConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="asymmetric"):
    """Asymmetric loss; the paper's final choice is 3, 4 and no margin."""

    gamma_pos: NotNegative = 3.0
    gamma_neg: NotNegative = 4.0
    clip: Share = 0.0
    soft_form: Literal["probability", "log"] = "probability"


class BceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="bce"):
    """Binary cross-entropy, alpha-balanced where `alpha` is given."""

    alpha: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None


class FocalConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="focal"):
    """Focal loss."""

    gamma: NotNegative = 2.0
    alpha: Annotated[float, Meta(gt=0.0, lt=1.0)] | None = None


class TwoWayConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="two_way"):
    """Two-way loss; the paper searched temperatures 0.5, 1, 2 and 4."""

    t_pos: Positive = 1.0
    t_neg: Positive = 1.0


LossConfig = AsymmetricConfig | BceConfig | FocalConfig | TwoWayConfig


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stretch of training at one image size, with its own schedule.

    Attributes:
        image: side of the input, pixels; the last stage's is the model's.
        epochs: passes over the training table.
        batch: images per step and device.
        lr: highest learning rate.
        lr_end: learning rate at the end of the cosine.
        warm_up: share of the stage's steps that rise linearly from 1 % of `lr`.
        loss: with its own options; `type` names it.
        bce_epochs: epochs at the start that use binary cross-entropy instead: from random weights
            it learns faster than the asymmetric loss.
    """

    image: int
    epochs: Count
    batch: Count
    lr: Positive
    lr_end: NotNegative = 1e-6
    warm_up: Share = 0.1
    loss: LossConfig = AsymmetricConfig()
    bce_epochs: Annotated[int, Meta(ge=0)] = 0

    def __post_init__(self) -> None:
        token_grids(self.image)
        if self.lr_end > self.lr:
            raise ConfigurationError(f"lr_end {self.lr_end} lies above lr {self.lr}; it must not")
        if self.bce_epochs > self.epochs:
            raise ConfigurationError(
                f"bce_epochs {self.bce_epochs} of {self.epochs} epochs; at most all of them"
            )


class FitConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the weights are fitted.

    Attributes:
        stages: in order; progressive resolution where their image sizes rise.
        seed: of initial weights, sampling, augmentation and stochastic depth.
        weight_decay: of AdamW; norms, biases and other one-dimensional parameters have none.
        clip: largest gradient norm.
        precision: `bf16` runs matrix products in bfloat16 and keeps weights in float32.
        average: decay of the exponential moving average of the weights that is validated and
            saved; 0 keeps the last weights, as the paper does.
        workers: processes that load images; 0 loads in the training process.
        threads: CPU threads of torch; 0 leaves torch's own choice.
        accelerator: `auto` takes a GPU where there is one.
    """

    stages: tuple[Stage, ...]
    seed: Annotated[int, Meta(ge=0)] = 42
    weight_decay: NotNegative = 0.05
    clip: Positive = 1.0
    precision: Literal["fp32", "bf16"] = "fp32"
    average: Share = 0.0
    workers: Annotated[int, Meta(ge=0)] = 0
    threads: Annotated[int, Meta(ge=0)] = 0
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigurationError("fit.stages is empty; a preset needs at least one stage")


class Preset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole training run but for the data set and the output folder."""

    name: str
    description: str
    fit: FitConfig
    preprocess: PreprocessSpec
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    mix: BatchMixConfig = BatchMixConfig()

    def __post_init__(self) -> None:
        last = self.fit.stages[-1].image
        if last != self.preprocess.size:
            raise ConfigurationError(
                f"the last stage trains at {last} px and preprocess.size is "
                f"{self.preprocess.size}; the device must see what training ended with"
            )


PRESETS: Final = ("demonstration", "realmnet", "smoke")


def load_preset(name: str, changes: Iterable[str] = ()) -> Preset:
    """Read a preset of the package by name, or a TOML file by path, with changes applied.

    Args:
        name: one of `PRESETS`, or a path ending in `.toml`.
        changes: `key.key=value`; the value is TOML, or a plain string where it is none. Entries
            of arrays are named by their number: `fit.stages.0.epochs=3`.

    Raises:
        MissingPath: no such preset or file.
        ConfigurationError: no TOML, an unknown key (with the nearest), an impossible value.
    """
    return read_preset(name, PRESETS, Preset, changes)
