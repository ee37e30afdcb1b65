"""The resampled training table that a preset or a study asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Final

import msgspec
import numpy as np
from msgspec import Meta

from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.suggestions import nearest
from realmnet_training.imbalance import Table
from realmnet_training.resampling import (
    Indices,
    lp_ros,
    lp_rus,
    ml_ros,
    ml_rus,
    remedial,
    remedial_hwr,
)

INDEX_METHODS: Final[dict[str, Callable[[Table, float, int], Indices]]] = {
    "ml_rus": ml_rus,
    "ml_ros": ml_ros,
    "lp_rus": lp_rus,
    "lp_ros": lp_ros,
}
"""Methods that choose images and leave their labels as they are."""

TABLE_METHODS: Final[dict[str, Callable[[Table, float, int], tuple[Indices, Table]]]] = {
    "remedial": lambda labels, _ratio, _seed: remedial(labels),
    "remedial_hwr": remedial_hwr,
}
"""Methods that edit labels too."""

METHODS: Final = (*INDEX_METHODS, *TABLE_METHODS)


class ResamplingConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One resampling of the training table; the paper trains with the defaults.

    Attributes:
        method: one of `METHODS`.
        ratio: share of the number of images; below 1 for under-sampling, unused by `remedial`.
        seed: of the draw.
    """

    method: str = "ml_rus"
    ratio: Annotated[float, Meta(ge=0.0)] = 0.2
    seed: Annotated[int, Meta(ge=0)] = 42

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigurationError(
                f"resampling method '{self.method}'; choose from {', '.join(METHODS)}"
                f"{nearest(self.method, METHODS)}"
            )
        if self.method.endswith("_rus") and self.ratio >= 1.0:
            raise ConfigurationError(
                f"resampling ratio {self.ratio} of {self.method}; under-sampling takes 0 to below 1"
            )


def resample(split: Split, config: ResamplingConfig) -> Split:
    """Resample a training table; an unknown label counts as absent and stays unknown.

    Returns:
        The table's rows in their order, named as the released one, `train_mlrus-20`. A repeated
        image is a row of its own; REMEDIAL's rows have edited labels.

    Raises:
        ConfigurationError: the table is for development or test.
        UsageError: no image of the table has a label.
    """
    if split.partition in {"val", "test"}:
        raise ConfigurationError(
            f"split '{split.name}' is not for training and stays as it is; resample the training "
            "table only"
        )
    chosen: Indices
    labels = np.asarray(split.labels)
    if config.method in INDEX_METHODS:
        chosen = INDEX_METHODS[config.method](labels, config.ratio, config.seed)
        labels = labels[chosen]
    else:
        chosen, labels = TABLE_METHODS[config.method](labels, config.ratio, config.seed)
    suffix = config.method.replace("_", "")
    if config.method != "remedial":
        suffix += f"-{100 * config.ratio:g}"
    return replace(split.select(chosen), name=f"{split.name}_{suffix}", labels=labels)
