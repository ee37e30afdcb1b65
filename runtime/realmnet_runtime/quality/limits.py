"""What a picture must measure to be answered, and where the figures come from.

`DEFAULT_LIMITS` serve bundles that bring none. Each lies between what six real two-laser pictures
and 300 synthetic phantoms measure and what the same pictures measure once they are spoilt on
purpose; docs/quality.md has the table. A site fits its own by `realmnet fit-gate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from realmnet_runtime.errors import ConfigurationError

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, msgspec.Meta(gt=0.0)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
Count = Annotated[int, msgspec.Meta(ge=0)]

REGIONS: Final = 3
"""Each label's score map is kept as the means of 3 x 3 regions, label by label, row by row."""


class QualityLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The least and the most of each measure of `quality.measures`, both allowed themselves.

    Attributes:
        least_aperture_share: of the frame; below it the aperture is too small.
        least_aspect, most_aspect: width over height of the aperture; a lid across it leaves a
            band.
        least_light: mean of the brightest channel, 0..1.
        most_burnt: share of the aperture at the top of the scale.
        least_sharpness: contrast of fine detail.
        most_covered: share of the aperture behind lids and their shadow.
        least_saturation: of a two-laser picture, whose blue is next to nothing.
        least_red_share, most_red_share: red over red and green.
    """

    least_aperture_share: Share
    least_aspect: Positive
    most_aspect: Positive
    least_light: Share
    most_burnt: Share
    least_sharpness: Share
    most_covered: Share
    least_saturation: Share
    least_red_share: Share
    most_red_share: Share

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not math.isfinite(value := getattr(self, name)):
                raise ConfigurationError(f"quality limit {name} is {value}; give a finite number")
        for name in ("aspect", "red_share"):
            low, high = getattr(self, f"least_{name}"), getattr(self, f"most_{name}")
            if low >= high:
                raise ConfigurationError(
                    f"quality limits allow {name} from {low} to {high}, which is nothing; "
                    f"give a least below the most"
                )

    def is_beyond(self, limit: str, measures: Mapping[str, float]) -> bool:
        """Whether what was measured passes a limit, given by its field's name."""
        side, _, measure = limit.partition("_")
        allowed: float = getattr(self, limit)
        return measures[measure] < allowed if side == "least" else measures[measure] > allowed


DEFAULT_LIMITS: Final = QualityLimits(
    least_aperture_share=0.2,
    least_aspect=0.8,
    most_aspect=1.7,
    least_light=0.16,
    most_burnt=0.05,
    least_sharpness=0.012,
    most_covered=0.2,
    least_saturation=0.85,
    least_red_share=0.3,
    most_red_share=0.8,
)


class ScoreMapTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the score maps of development pictures lie, for one variant.

    The D statistics are the means of `REGIONS` x `REGIONS` regions of each label's map. After
    (statistic - centre) / spread the distance is the root of the mean square along the whitened
    axes: below or about 1 for the pictures it was fitted on, whatever D is.

    Attributes:
        variant: whose maps; another variant's differ by its rounding.
        centre: (D,) medians.
        spread: (D,) robust standard deviations, above zero.
        precision: inverse of the shrunk covariance of what is centred and scaled, (D, D) and
            symmetric: the lower triangle, row i of i + 1 values.
        most_distance: largest that counts as familiar.
    """

    variant: str
    centre: tuple[float, ...]
    spread: tuple[Positive, ...]
    precision: tuple[tuple[float, ...], ...]
    most_distance: Positive

    def __post_init__(self) -> None:
        count = len(self.centre)
        rows = list(map(len, self.precision))
        if not count or len(self.spread) != count or rows != list(range(1, count + 1)):
            raise ConfigurationError(
                f"score-map table of '{self.variant}' has {count} centres, {len(self.spread)} "
                f"spreads and {len(rows)} rows of precision; give as many of each, row i of i + 1 "
                f"values"
            )


class SiteFit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What limits were fitted on: counts and digests, no name of a picture.

    Attributes:
        pictures: that were measured.
        left_out: number of those that were not, by the kind of refusal.
        pictures_sha256: SHA-256 of the sorted digests of the measured pictures, one a line.
        bundle_sha256: bundle that measured them; of limits fitted when a bundle was made, the same
            bundle without them.
        variant: of that bundle; the first where score maps of several were measured.
    """

    pictures: Annotated[int, msgspec.Meta(gt=0)]
    left_out: dict[str, Count]
    pictures_sha256: Digest
    bundle_sha256: Digest
    variant: str


class QualityGate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The part of a manifest that says which pictures the bundle answers.

    Attributes:
        limits: of what is measured before the network is asked.
        fitted_on: where the limits come from.
        score_maps: one table for each variant that was measured; empty where none was.
    """

    limits: QualityLimits
    fitted_on: SiteFit
    score_maps: tuple[ScoreMapTable, ...] = ()

    def table_for(self, variant: str) -> ScoreMapTable | None:
        """The table of a variant; None where it has none."""
        return next((table for table in self.score_maps if table.variant == variant), None)

    def check(self, variants: tuple[str, ...], labels: int) -> None:
        """Refuse what does not belong to a manifest's variants and number of labels.

        Raises:
            ConfigurationError: an unknown variant, one named twice, or a table of another size.
        """
        names = [table.variant for table in self.score_maps]
        for name in names:
            if name not in variants or names.count(name) > 1:
                raise ConfigurationError(
                    f"quality has a score-map table of '{name}'; give at most one for each of "
                    f"{', '.join(variants)}"
                )
        for table in self.score_maps:
            if len(table.centre) != labels * REGIONS**2:
                raise ConfigurationError(
                    f"score-map table of '{table.variant}' has {len(table.centre)} statistics; "
                    f"{labels} labels have {labels * REGIONS**2}"
                )
