"""The gate of one open bundle: its limits, and its table for the variant that runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import FieldOfView
from realmnet_runtime.quality.limits import DEFAULT_LIMITS, QualityGate, ScoreMapTable
from realmnet_runtime.quality.map_distance import map_distance, score_map_statistics
from realmnet_runtime.quality.measures import measure_picture
from realmnet_runtime.quality.verdict import MAP_DISTANCE, Quality, judge, judge_distance

_NOT_ASKED = "the network was not asked, since the picture is ungradable without it"


@dataclass(frozen=True, slots=True)
class Gate:
    """Looks at a picture before the engine, and at its score maps after.

    Attributes:
        bundled: what the bundle says; None where it says nothing and the default limits hold.
        variant: that answers, by name.
    """

    bundled: QualityGate | None
    variant: str

    @property
    def _table(self) -> ScoreMapTable | None:
        return None if self.bundled is None else self.bundled.table_for(self.variant)

    def look(self, image: NDArray[np.uint8], field_of_view: FieldOfView) -> Quality:
        """Measure a picture and hold it against the limits.

        Args:
            image: (H, W, 3) uint8 RGB.
            field_of_view: of this image.
        """
        measures = measure_picture(image, field_of_view)
        limits = DEFAULT_LIMITS if self.bundled is None else self.bundled.limits
        reasons = judge(measures, limits)
        missing = _NOT_ASKED if self._table is not None else self._no_table
        return Quality(
            reasons=reasons,
            measures=measures,
            not_measured={MAP_DISTANCE: missing},
            limits_from="default" if self.bundled is None else "bundle",
        )

    def look_at_maps(self, quality: Quality, score_maps: NDArray[np.float32]) -> Quality:
        """The same verdict with the distance of the score maps, where the bundle has a table.

        Args:
            quality: of `look`.
            score_maps: (L, h, w) float32 of the variant that answers.
        """
        table = self._table
        if table is None:
            return quality
        distance = map_distance(table, score_map_statistics(score_maps))
        return replace(
            quality,
            reasons=(*quality.reasons, *judge_distance(distance, table)),
            measures={**quality.measures, MAP_DISTANCE: distance},
            not_measured={},
        )

    @property
    def _no_table(self) -> str:
        return (
            f"the bundle has no table of {self.variant}'s score maps; `realmnet fit-gate` makes one"
        )
