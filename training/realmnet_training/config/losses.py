"""The loss of a stage, told apart by `type`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from realmnet_training.config.numbers import NotNegative, Positive, Share


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
