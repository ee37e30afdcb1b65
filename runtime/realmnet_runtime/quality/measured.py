"""Pictures measured for a fit, and the gate fitted on them: a site's own, or those of a release.

Nothing of a picture is kept but its measures, the statistics of its score maps and its SHA-256.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from realmnet_runtime.errors import ImageRefused, UsageError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.quality.fitting import fit_limits
from realmnet_runtime.quality.limits import QualityGate, QualityLimits, ScoreMapTable, SiteFit
from realmnet_runtime.quality.map_distance import (
    LEAST_PICTURES,
    Statistics,
    fit_table,
    map_distance,
)
from realmnet_runtime.quality.verdict import LEAST_COLOUR

MOST_LEFT_OUT: Final = 0.1
"""Where more are unreadable, without an aperture or grey, the pictures are not what was asked."""

GREY: Final = "grey"
TWICE: Final = "the same picture again"


@dataclass(frozen=True)
class MeasuredPicture:
    """One picture.

    Attributes:
        sha256: of the file.
        measures: of `measure_picture`.
        statistics: of `score_map_statistics`, by variant.
    """

    sha256: str
    measures: Mapping[str, float]
    statistics: Mapping[str, Statistics]


class MeasuredPictures:
    """Gradable pictures, each file once; those that are refused, grey or there before are counted.

    Their order does not matter: they are kept by digest.
    """

    def __init__(self) -> None:
        self._kept: dict[str, MeasuredPicture] = {}
        self._left_out: Counter[str] = Counter()

    def add(self, picture: MeasuredPicture) -> None:
        """Keep a picture, or count it among those left out."""
        if picture.measures["saturation"] < LEAST_COLOUR:
            self._left_out[GREY] += 1
        elif picture.sha256 in self._kept:
            self._left_out[TWICE] += 1
        else:
            self._kept[picture.sha256] = picture

    def leave_out(self, error: ImageRefused) -> None:
        """Count a picture that was refused, by the kind of refusal."""
        self._left_out[type(error).__name__] += 1

    @property
    def rows(self) -> list[MeasuredPicture]:
        """What was kept, in the order of the digests."""
        return [self._kept[digest] for digest in sorted(self._kept)]

    @property
    def left_out(self) -> dict[str, int]:
        """Number of those that were not, by kind."""
        return dict(sorted(self._left_out.items()))

    def require_enough(self) -> None:
        """Return where a gate can be fitted on them.

        Raises:
            UsageError: fewer than `LEAST_PICTURES` were kept, or more than a tenth was left out.
        """
        kept, left_out = len(self._kept), self._left_out
        counts = ", ".join(f"{count} {kind}" for kind, count in self.left_out.items()) or "none"
        if kept < LEAST_PICTURES:
            raise UsageError(
                f"{kept} pictures to fit on (left out: {counts}); {LEAST_PICTURES} or more are "
                f"needed; give more of this site's gradable pictures"
            )
        unfit = left_out.total() - left_out[TWICE] if left_out else 0
        if unfit > MOST_LEFT_OUT * (kept + unfit):
            raise UsageError(
                f"{unfit} of {kept + unfit} pictures cannot be measured (left out: {counts}); at "
                f"most a tenth is allowed; give this site's gradable two-laser pictures alone"
            )


def fit_gate(
    pictures: MeasuredPictures, *, bundle_sha256: str, variants: Sequence[str]
) -> QualityGate:
    """Fit every limit, and a score-map table for each of these variants.

    Args:
        pictures: whose statistics name every one of the variants.
        bundle_sha256: digest of the bundle that measured them.
        variants: at least one; the first stands for them in what the limits were fitted on.

    Raises:
        UsageError: fewer than `LEAST_PICTURES` are left, or more than a tenth were left out.
    """
    pictures.require_enough()
    rows = pictures.rows
    return QualityGate(
        limits=fit_limits([row.measures for row in rows]),
        fitted_on=SiteFit(
            pictures=len(rows),
            left_out=pictures.left_out,
            pictures_sha256=sha256_of("".join(f"{row.sha256}\n" for row in rows).encode()),
            bundle_sha256=bundle_sha256,
            variant=variants[0],
        ),
        score_maps=tuple(
            fit_table(variant, np.stack([row.statistics[variant] for row in rows]))
            for variant in variants
        ),
    )


def count_beyond(pictures: MeasuredPictures, limits: QualityLimits) -> dict[str, int]:
    """Number of pictures beyond each limit, by its name and each by itself."""
    rows = pictures.rows
    return {
        limit: sum(limits.is_beyond(limit, row.measures) for row in rows)
        for limit in QualityLimits.__struct_fields__
    }


def count_far(pictures: MeasuredPictures, table: ScoreMapTable) -> int:
    """Number of pictures whose score maps lie farther away than the table allows."""
    return sum(
        map_distance(table, row.statistics[table.variant]) > table.most_distance
        for row in pictures.rows
    )
