"""How training images are changed, one by one and in batches."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from realmnet_runtime.errors import ConfigurationError
from realmnet_training.config.numbers import NotNegative, Positive, Probability, Share


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
