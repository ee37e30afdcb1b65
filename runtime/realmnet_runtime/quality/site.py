"""A site's own pictures, measured by the bundle that will answer them, and the gate fitted on them.

Nothing of a picture is kept but its measures and, in one digest over all, its SHA-256.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from realmnet_runtime.answering.prediction import Prediction
from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.errors import ImageRefused
from realmnet_runtime.quality.limits import QualityGate
from realmnet_runtime.quality.map_distance import map_distance, score_map_statistics
from realmnet_runtime.quality.measured import MeasuredPicture, MeasuredPictures, fit_gate
from realmnet_runtime.quality.verdict import MAP_DISTANCE, judge, judge_distance


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
    measured = MeasuredPictures()
    reasons: dict[str, set[str]] = {}
    for number, path in enumerate(pictures):
        try:
            said = predictor.predict(path, answer_ungradable=True)
        except ImageRefused as error:
            measured.leave_out(error)
        else:
            measured.add(_measured(said))
            reasons[said.input_sha256] = {reason.kind for reason in said.quality.reasons}
        progress(number + 1)
    gate = fit_gate(
        measured, bundle_sha256=predictor.bundle.digest, variants=[predictor.variant.name]
    )
    rows = measured.rows
    before = Counter(reason for row in rows for reason in reasons[row.sha256])
    after = Counter(reason for row in rows for reason in _reasons(row, gate))
    return SiteReport(gate, MappingProxyType(before), MappingProxyType(after))


def _measured(said: Prediction) -> MeasuredPicture:
    return MeasuredPicture(
        sha256=said.input_sha256,
        measures={k: v for k, v in said.quality.measures.items() if k != MAP_DISTANCE},
        statistics={said.variant: score_map_statistics(said.score_maps)},
    )


def _reasons(picture: MeasuredPicture, gate: QualityGate) -> set[str]:
    (table,) = gate.score_maps
    distance = map_distance(table, picture.statistics[table.variant])
    reasons = (*judge(picture.measures, gate.limits), *judge_distance(distance, table))
    return {reason.kind for reason in reasons}
