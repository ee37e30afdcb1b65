"""Whether two variants look at the same places: order of a score map's cells, and its peak.

Explanations are drawn from score maps, whose scale a reader does not see: what counts is which
cells are high. So maps are compared by Spearman's rank correlation over their cells, and by how
far the highest cell moved.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from realmnet_runtime.errors import GateFailed

Maps = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]


class MapParity(msgspec.Struct, frozen=True):
    """How N x L score maps differ from a reference's; (L,) in label order.

    Attributes:
        rank_median: median over pictures of the rank correlation of each label's maps, -1..1;
            None where no picture's map has any order.
        rank_worst: least of them.
        shift_median: median distance in cells between the highest cells.
        shift_largest: greatest of them.
        flat: maps, of all labels, without any order in both; left out above.
    """

    rank_median: tuple[float | None, ...]
    rank_worst: tuple[float | None, ...]
    shift_median: tuple[float | None, ...]
    shift_largest: tuple[float | None, ...]
    flat: int

    @property
    def least_rank_median(self) -> float:
        """Of the label with the lowest one; 1 where every map is flat."""
        return min((value for value in self.rank_median if value is not None), default=1.0)

    @property
    def greatest_shift_median(self) -> float:
        """Of the label with the greatest one, cells; 0 where every map is flat."""
        return max((value for value in self.shift_median if value is not None), default=0.0)


def compare_maps(reference: Maps, other: Maps) -> MapParity:
    """Compare score maps of the same pictures.

    A map that is flat in one of the two only has no order to agree with: its correlation is 0.

    Args:
        reference: (N, L, h, w).
        other: likewise.

    Raises:
        GateFailed: the shapes differ, or a score is not finite.
    """
    if reference.shape != other.shape or reference.ndim != 4:
        raise GateFailed(
            f"score maps of shape {reference.shape} and {other.shape} cannot be the same answer; "
            "export the model again"
        )
    if not (np.isfinite(reference).all() and np.isfinite(other).all()):
        raise GateFailed("a score map holds a score that is not finite; export the model again")
    width = reference.shape[3]
    first, second = (maps.reshape(*maps.shape[:2], -1) for maps in (reference, other))
    correlation, both_flat = _rank_correlation(first, second)
    here, there = (np.stack(np.divmod(maps.argmax(axis=2), width)) for maps in (first, second))
    shift = np.hypot(*(here - there).astype(np.float64))
    correlation[both_flat], shift[both_flat] = np.nan, np.nan
    return MapParity(
        rank_median=_of_columns(correlation, np.median),
        rank_worst=_of_columns(correlation, np.min),
        shift_median=_of_columns(shift, np.median),
        shift_largest=_of_columns(shift, np.max),
        flat=int(both_flat.sum()),
    )


def _rank_correlation(first: Maps, second: Maps) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Spearman's correlation (N, L) over the last axis, and which pairs are flat in both."""
    ranks = [rankdata(maps, axis=-1) for maps in (first, second)]
    centred = [rank - rank.mean(axis=-1, keepdims=True) for rank in ranks]
    spread = [np.sqrt(np.square(rank).sum(axis=-1)) for rank in centred]
    product = spread[0] * spread[1]
    together = (centred[0] * centred[1]).sum(axis=-1)
    correlation: Floats = np.zeros(product.shape)
    np.divide(together, product, out=correlation, where=product > 0)
    return correlation, (spread[0] == 0) & (spread[1] == 0)


def _of_columns(values: Floats, measure: Any) -> tuple[float | None, ...]:  # noqa: ANN401 - of numpy
    columns = (column[~np.isnan(column)] for column in values.T)
    return tuple(float(measure(column)) if column.size else None for column in columns)
