"""The network's masks and the runtime's classical ones against the annotated apertures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realmnet_benchmarks.accuracy_tables import align
from realmnet_benchmarks.masks import Counts, MaskMetrics, mask_counts, mask_metrics
from realmnet_benchmarks.progress import reporting
from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.errors import ConfigurationError, NoFieldOfView
from realmnet_training.boundary.annotations import BORDERS, Annotations
from realmnet_training.boundary.checkpoint import BoundaryFacts
from realmnet_training.boundary.network import BoundaryNetwork, boundary_mask
from realmnet_training.boundary.partition import divide
from realmnet_training.fitting.run_folder import plain_metrics

PUBLISHED_ACCURACY: Final = (0.9813, 0.9796)
PUBLISHED_MEAN_IOU: Final = (0.9586, 0.9482)
"""The paper's two figures of each, on its own set of 412 pictures (303 with, 109 without black
border, 8:1:1 by patient)."""

PARTS: Final = ("test", "development", "train", "all")
ALL: Final = "all"


@dataclass(frozen=True)
class MaskComparison:
    """Two ways to the mask on the same pictures, at the pictures' own pixels.

    Attributes:
        part: of the annotations.
        synthetic: every picture is a phantom.
        patients: whose pictures they are.
        network, classical: border kind, then `all` -> metrics; kinds without a picture are left
            out.
        refused: pictures in which the classical way found no field of view; their classical mask
            counts as empty, so that refusing gains nothing.
        trained_on_phantoms: of the network.
    """

    part: str
    synthetic: bool
    patients: int
    network: dict[str, MaskMetrics]
    classical: dict[str, MaskMetrics]
    refused: int
    trained_on_phantoms: bool

    @property
    def measured_on(self) -> str:
        """What the figures were measured on, for people."""
        kind = "synthetic phantoms" if self.synthetic else "annotated pictures"
        return f"{self.network[ALL].images} {kind} of {self.patients} patients, {self.part}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready numbers; what they were measured on is among them."""
        return {
            "measured_on": self.measured_on,
            "synthetic": self.synthetic,
            "trained_on_phantoms": self.trained_on_phantoms,
            "network": plain_metrics(self.network),
            "classical": plain_metrics(self.classical),
            "classical_refused": self.refused,
            "published": {
                "measured_on": "the paper's 412 annotated pictures",
                "pixel_accuracy": PUBLISHED_ACCURACY,
                "mean_iou": PUBLISHED_MEAN_IOU,
            },
        }


def choose_part(table: Annotations, facts: BoundaryFacts, part: str) -> Annotations:
    """The pictures of a part as the checkpoint's training divided them.

    Args:
        table: annotations.
        facts: of the checkpoint.
        part: `test`, `development`, `train`, or `all` for a table that took no part in training.

    Raises:
        ConfigurationError: another part, or a part of a table the checkpoint does not know.
    """
    if part == ALL:
        return table
    if part not in PARTS:
        raise ConfigurationError(f"part '{part}'; choose from {', '.join(PARTS)}")
    if table.digest != facts.table:
        raise ConfigurationError(
            "these annotations are not those the checkpoint was trained with, so their parts are "
            "unknown; give that folder, or --part all if none of these patients was trained on"
        )
    chosen: Annotations = getattr(divide(table, facts.preset.fit.seed), part)
    return chosen


def compare_masks(
    network: BoundaryNetwork, facts: BoundaryFacts, table: Annotations, part: str
) -> MaskComparison:
    """Measure both ways to the mask.

    Args:
        network: trained.
        facts: of its checkpoint.
        table: the pictures to measure on.
        part: how they are called.

    Raises:
        MissingPath, UnreadableImage: of the first picture or mask that cannot be used.
    """
    ours: list[Counts] = []
    theirs: list[Counts] = []
    refused = 0
    with reporting(f"{part}: pictures segmented") as report:
        for done, (picture, truth) in enumerate(_pictures(table), start=1):
            ours.append(mask_counts(truth, boundary_mask(network, picture)))
            classical = classical_mask(picture)
            refused += classical is None
            found = np.zeros_like(truth) if classical is None else classical
            theirs.append(mask_counts(truth, found))
            report(done, len(table))
    return MaskComparison(
        part=part,
        synthetic=table.synthetic,
        patients=len(set(table.patients)),
        network=_per_border(table, ours),
        classical=_per_border(table, theirs),
        refused=refused,
        trained_on_phantoms=facts.synthetic,
    )


def classical_mask(picture: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """The runtime's own mask, or None where it finds no field of view.

    Args:
        picture: (H, W, 3) uint8 RGB.
    """
    try:
        return find_field_of_view(picture).mask
    except NoFieldOfView:
        return None


def comparison_table(comparison: MaskComparison) -> str:
    """One table for people: both ways per border kind, then the paper's figures."""
    tag = " (phantoms)" if comparison.synthetic else ""
    names = ("accuracy %", "mean IoU %", "aperture IoU %", "worst picture's %")
    rows = [["border", "mask by", "pictures", *names]]
    for kind in comparison.network:
        for way, metrics in (("network", comparison.network), ("classical", comparison.classical)):
            one = metrics[kind]
            values = (one.pixel_accuracy, one.mean_iou, one.iou_inside, one.worst_iou_inside)
            figures = (f"{100 * value:.2f}" for value in values)
            rows.append([kind + tag, way, f"{one.images:,}", *figures])
    rows.append(
        ["paper's set", "published", "412", _pair(PUBLISHED_ACCURACY), _pair(PUBLISHED_MEAN_IOU)]
    )
    rows[-1] += ["-", "-"]
    trained = "synthetic phantoms" if comparison.trained_on_phantoms else "annotated pictures"
    head = f"measured on {comparison.measured_on}; network trained on {trained}"
    tail = (
        f"classical: {comparison.refused} pictures refused, counted as empty masks; published: the "
        "paper's own network and pictures, two figures of each"
    )
    return "\n".join([head, *align(rows), tail])


def _pictures(table: Annotations) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_]]]:
    return (table.read(row) for row in range(len(table)))


def _per_border(table: Annotations, counts: list[Counts]) -> dict[str, MaskMetrics]:
    found = {
        border: [one for one, kind in zip(counts, table.borders, strict=True) if kind == border]
        for border in BORDERS
    }
    kept = {border: mask_metrics(some) for border, some in found.items() if some}
    return kept | {ALL: mask_metrics(counts)}


def _pair(values: tuple[float, float]) -> str:
    return " / ".join(f"{100 * value:.2f}" for value in values)
