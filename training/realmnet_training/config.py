"""Presets: what is trained, on what, how; TOML files read once into frozen structs."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import tomllib
from msgspec import Meta

from realmnet_runtime.errors import ConfigurationError, MissingPath
from realmnet_runtime.labels import LABEL_SETS, LabelSet
from realmnet_runtime.preprocess import PreprocessSpec
from realmnet_runtime.structs import convert_mapping
from realmnet_runtime.suggestions import nearest
from realmnet_training.backbone import Size, token_grids
from realmnet_training.csra import TEMPERATURES
from realmnet_training.model import HeadKind

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Share = Annotated[float, Meta(ge=0.0, lt=1.0)]
Positive = Annotated[float, Meta(gt=0.0)]
NotNegative = Annotated[float, Meta(ge=0.0)]
Count = Annotated[int, Meta(ge=1)]


class ModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The network; see `RealMNet`."""

    size: Size = "21m"
    head: HeadKind = "csra"
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
        cosine_by: whether the cosine falls at every step, or at every epoch as in the paper's code.
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
    cosine_by: Literal["step", "epoch"] = "step"
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
        accumulate: batches a process takes for one step; with one GPU and 4 here, a run sees what
            the paper's four GPUs see.
        devices: processes on each machine, one a GPU; 0 takes every GPU there is, or one process
            on a CPU. Several train by distributed data parallelism.
        nodes: machines, started through torchrun or Slurm.
        keep_every: steps between two resume files inside an epoch; 0 keeps one an epoch.
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
    accumulate: Count = 1
    devices: Annotated[int, Meta(ge=0)] = 0
    nodes: Count = 1
    keep_every: Annotated[int, Meta(ge=0)] = 0

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
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise MissingPath(f"preset file '{name}' does not exist")
        text, source = path.read_text(encoding="utf-8"), name
    elif name in PRESETS:
        file = resources.files("realmnet_training") / "presets" / f"{name}.toml"
        text, source = file.read_text(encoding="utf-8"), f"preset {name}"
    else:
        raise MissingPath(
            f"no preset '{name}'; there are {', '.join(PRESETS)}, or give a path ending in .toml"
            f"{nearest(name, PRESETS)}"
        )
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not TOML: {error}") from error
    for change in changes:
        _apply(content, change)
    return convert_mapping(content, Preset, source)


def _apply(content: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigurationError(f"--set '{change}' must look like fit.seed=7")
    place: Any = content
    for part in parts[:-1]:
        place = _entry(place, part, change)
    if isinstance(place, list):
        _entry(place, parts[-1], change)
        place[int(parts[-1])] = _value(value)
    elif isinstance(place, dict):
        place[parts[-1]] = _value(value)
    else:
        raise ConfigurationError(f"--set '{change}': '{parts[-2]}' holds a value, not a table")


def _entry(place: object, part: str, change: str) -> object:
    if isinstance(place, list):
        if not part.isdecimal() or int(part) >= len(place):
            raise ConfigurationError(
                f"--set '{change}': '{part}' must be a number from 0 to {len(place) - 1}"
            )
        return place[int(part)]
    if isinstance(place, dict):
        return place.setdefault(part, {})
    raise ConfigurationError(f"--set '{change}': '{part}' lies below a value, not a table")


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
