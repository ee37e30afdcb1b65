"""Limits from a site's own gradable pictures, by quantiles that a few bad ones do not move.

A limit lies half as far again from the site's median as the quantile beyond which 2.5 % of its
pictures are: of normal values 0.2 % pass it. It never comes nearer to the median than
`NEAREST`, since a site whose pictures are all alike would else refuse whatever differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from realmnet_runtime.errors import UsageError
from realmnet_runtime.quality.limits import QualityLimits
from realmnet_runtime.quality.map_distance import LEAST_PICTURES

TAIL: Final = 0.025
REACH: Final = 1.5

NEAREST: Final[dict[str, float]] = {
    "aperture_share": 0.2,
    "aspect": 0.3,
    "light": 0.1,
    "burnt": 0.04,
    "sharpness": 0.01,
    "covered": 0.15,
    "saturation": 0.05,
    "red_share": 0.08,
}
"""Least distance of a limit from the site's median, in units of the measure."""

_LARGEST: Final = {"aspect": 100.0}
_SMALLEST: Final = {"aspect": 0.01}


def fit_limits(measures: Sequence[Mapping[str, float]]) -> QualityLimits:
    """Fit every limit.

    Args:
        measures: of `measure_picture`, one mapping for each gradable picture.

    Raises:
        UsageError: fewer than `LEAST_PICTURES` pictures.
    """
    if len(measures) < LEAST_PICTURES:
        raise UsageError(
            f"{len(measures)} pictures to fit limits on; {LEAST_PICTURES} or more are needed"
        )
    return QualityLimits(**{name: _limit(name, measures) for name in _limit_names()})


def _limit_names() -> tuple[str, ...]:
    return QualityLimits.__struct_fields__


def _limit(name: str, measures: Sequence[Mapping[str, float]]) -> float:
    side, _, measure = name.partition("_")
    values = np.array([row[measure] for row in measures])
    tail = TAIL if side == "least" else 1.0 - TAIL
    middle, edge = np.quantile(values, [0.5, tail])
    distance = max(REACH * abs(float(edge - middle)), NEAREST[measure])
    limit = float(middle) + (-distance if side == "least" else distance)
    limit = min(max(limit, _SMALLEST.get(measure, 0.0)), _LARGEST.get(measure, 1.0))
    return float(f"{limit:.6g}")
