"""A site's own pictures, measured by the bundle that will answer them, and the gate fitted on them.

Nothing of a picture is kept but its measures and, in one digest over all, its SHA-256.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from realmnet_runtime.errors import ImageRefused, UsageError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.prediction import Prediction
from realmnet_runtime.predictor import Predictor
from realmnet_runtime.quality.fitting import fit_limits
from realmnet_runtime.quality.limits import QualityGate, SiteFit
from realmnet_runtime.quality.map_distance import (
    LEAST_PICTURES,
    Statistics,
    fit_table,
    map_distance,
    score_map_statistics,
)
from realmnet_runtime.quality.verdict import (
    LEAST_COLOUR,
    MAP_DISTANCE,
    judge,
    judge_distance,
)

MOST_LEFT_OUT: Final = 0.1
"""Where more are unreadable, without an aperture or grey, the pictures are not what was asked."""

GREY: Final = "grey"
TWICE: Final = "the same picture again"


@dataclass(frozen=True)
class SiteReport:
    """What a fit did.

    Attributes:
        gate: to be written into the bundle.
        refused_before: pictures the bundle as it is calls ungradable, by reason.
        refused_after: pictures it will call so, by reason.
    """

    gate: QualityGate
    refused_before: Mapping[str, int]
    refused_after: Mapping[str, int]


@dataclass(frozen=True)
class _Picture:
    sha256: str
    measures: dict[str, float]
    statistics: Statistics
    reasons: frozenset[str]


def fit_site(
    predictor: Predictor, pictures: Iterable[Path], progress: Callable[[int], None] = lambda _: None
) -> SiteReport:
    """Fit limits and the score-map table of the predictor's variant on gradable pictures.

    Pictures that are refused, grey, or there before are left out and counted.

    Args:
        predictor: open.
        pictures: files of this site's camera that a person would call gradable.
        progress: told the number of pictures done after each.

    Raises:
        UsageError: fewer than `LEAST_PICTURES` are left, or more than a tenth were left out.
        MissingPath: a picture is not there.
    """
    kept: dict[str, _Picture] = {}
    left_out: Counter[str] = Counter()
    for number, path in enumerate(pictures):
        outcome = _measured(predictor, path)
        if isinstance(outcome, str):
            left_out[outcome] += 1
        elif outcome.sha256 in kept:
            left_out[TWICE] += 1
        else:
            kept[outcome.sha256] = outcome
        progress(number + 1)
    _require_enough(len(kept), left_out)
    rows = [kept[digest] for digest in sorted(kept)]
    gate = QualityGate(
        limits=fit_limits([row.measures for row in rows]),
        fitted_on=SiteFit(
            pictures=len(rows),
            left_out=dict(sorted(left_out.items())),
            pictures_sha256=sha256_of("".join(f"{row.sha256}\n" for row in rows).encode()),
            bundle_sha256=predictor.bundle.digest,
            variant=predictor.variant.name,
        ),
        score_maps=(fit_table(predictor.variant.name, np.stack([r.statistics for r in rows])),),
    )
    before = Counter(reason for row in rows for reason in row.reasons)
    after = Counter(reason for row in rows for reason in _reasons(row, gate))
    return SiteReport(gate, MappingProxyType(before), MappingProxyType(after))


def _measured(predictor: Predictor, path: Path) -> _Picture | str:
    """What is kept of a picture, or why it is left out."""
    try:
        said = predictor.predict(path, answer_ungradable=True)
    except ImageRefused as error:
        return type(error).__name__
    if said.quality.measures["saturation"] < LEAST_COLOUR:
        return GREY
    return _kept(said)


def _kept(said: Prediction) -> _Picture:
    measures = {k: v for k, v in said.quality.measures.items() if k != MAP_DISTANCE}
    reasons = frozenset(reason.kind for reason in said.quality.reasons)
    statistics = score_map_statistics(said.score_maps)
    return _Picture(said.input_sha256, measures, statistics, reasons)


def _reasons(picture: _Picture, gate: QualityGate) -> set[str]:
    (table,) = gate.score_maps
    distance = map_distance(table, picture.statistics)
    reasons = (*judge(picture.measures, gate.limits), *judge_distance(distance, table))
    return {reason.kind for reason in reasons}


def _require_enough(kept: int, left_out: Counter[str]) -> None:
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items())) or "none"
    if kept < LEAST_PICTURES:
        raise UsageError(
            f"{kept} pictures to fit on (left out: {counts}); {LEAST_PICTURES} or more are needed; "
            f"give more of this site's gradable pictures"
        )
    unfit = left_out.total() - left_out[TWICE] if left_out else 0
    if unfit > MOST_LEFT_OUT * (kept + unfit):
        raise UsageError(
            f"{unfit} of {kept + unfit} pictures cannot be measured (left out: {counts}); at most "
            f"a tenth is allowed; give this site's gradable two-laser pictures alone"
        )
