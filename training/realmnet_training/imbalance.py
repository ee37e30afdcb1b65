"""How uneven labels are: IRLbl, MeanIR, SCUMBLE and SCUMBLELbl.

Definitions: Charte et al., Neurocomputing 163 (2015) for the ratios and Knowledge and Information
Systems 58 (2019) for SCUMBLE. RealMNet prints SCUMBLE as a mean over labels; its Table A2 is the
mean over images, as here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from realmnet_runtime.errors import UsageError

Floats = NDArray[np.float64]
Table = NDArray[np.uint8]


@dataclass(frozen=True)
class Imbalance:
    """Measures of one table; what a label that never occurs would have is NaN.

    Attributes:
        counts: (L,) images with each label.
        irlbl: (L,) count of the most frequent label divided by each label's count, 1 or more.
        mean_ir: mean of `irlbl` over the labels that occur; labels above it are the minority.
        scumble: mean of `scumble_per_image`, 0 to below 1: how far rare and frequent labels share
            images.
        scumble_cv: standard deviation (n - 1) of `scumble_per_image` over its mean; NaN where
            the mean is 0.
        scumble_lbl: (L,) mean of `scumble_per_image` over the images with each label.
        scumble_per_image: (N,) 1 - geometric mean / arithmetic mean of the `irlbl` of the labels
            present; 0 for an image with one label or none.
        cardinality: labels per image.
    """

    counts: NDArray[np.int64]
    irlbl: Floats
    mean_ir: float
    scumble: float
    scumble_cv: float
    scumble_lbl: Floats
    scumble_per_image: Floats
    cardinality: float

    @property
    def minority(self) -> NDArray[np.bool_]:
        """(L,) labels whose `irlbl` lies above the mean."""
        return self.irlbl > self.mean_ir


def measure_imbalance(labels: ArrayLike) -> Imbalance:
    """Measure a table of labels.

    Args:
        labels: (N, L) of 0 and 1, any numeric or boolean dtype.

    Raises:
        UsageError: as `label_table`, and where no image has any label.
    """
    table = label_table(labels)
    counts = table.sum(axis=0, dtype=np.int64)
    if not counts.any():
        raise UsageError(
            f"none of the {len(table)} images has a label; imbalance needs at least one"
        )
    present = counts > 0
    irlbl = np.full(len(counts), np.nan)
    irlbl[present] = counts.max() / counts[present]
    per_image = _scumble_per_image(table, np.where(present, irlbl, 1.0))
    scumble_lbl = np.full(len(counts), np.nan)
    scumble_lbl[present] = (per_image @ table)[present] / counts[present]
    scumble = float(per_image.mean())
    deviation = float(per_image.std(ddof=1)) if len(table) > 1 else 0.0
    return Imbalance(
        counts=counts,
        irlbl=irlbl,
        mean_ir=float(irlbl[present].mean()),
        scumble=scumble,
        scumble_cv=deviation / scumble if scumble else float("nan"),
        scumble_lbl=scumble_lbl,
        scumble_per_image=per_image,
        cardinality=float(table.sum(axis=1).mean()),
    )


def label_table(labels: ArrayLike) -> Table:
    """Labels as (N, L) uint8.

    Raises:
        UsageError: not two axes, no image, no label, or values other than 0 and 1.
    """
    table = np.asarray(labels)
    if table.ndim != 2 or not table.size:
        raise UsageError(f"labels of shape {table.shape}; expected (N, L) with N and L at least 1")
    # NaN would pass a cast to integers on some machines
    if not np.isin(table, (0, 1)).all():
        raise UsageError("labels hold values other than 0 and 1; clean the table first")
    return table.astype(np.uint8)


def _scumble_per_image(table: Table, irlbl: Floats) -> Floats:
    cells = table.astype(np.float64)
    present = cells.sum(axis=1)
    size = np.maximum(present, 1.0)
    geometric = np.exp(cells @ np.log(irlbl) / size)
    arithmetic = np.maximum(cells @ irlbl / size, 1.0)
    # one label alone is even by definition, but for the last bit of exp(log(x)) / x
    uneven = np.where(present > 1.0, 1.0 - geometric / arithmetic, 0.0)
    return np.maximum(uneven, 0.0)
