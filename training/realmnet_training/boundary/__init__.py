"""Device-boundary segmentation: DeepLabv3 on annotated apertures, as the RealMNet paper did it.

The runtime finds the aperture by classical vision; this network is what the paper used, for the
comparison of the two and for the study with and without boundary.
"""

from realmnet_training.boundary.annotations import Annotations, read_annotations
from realmnet_training.boundary.checkpoint import BoundaryFacts, load_boundary_checkpoint
from realmnet_training.boundary.evaluate import MaskComparison, compare_masks
from realmnet_training.boundary.fit import train_boundary
from realmnet_training.boundary.network import (
    BoundaryNetwork,
    blacken_outside,
    boundary_mask,
    without_boundary,
)
from realmnet_training.boundary.preset import BoundaryPreset, load_boundary_preset

__all__ = [
    "Annotations",
    "BoundaryFacts",
    "BoundaryNetwork",
    "BoundaryPreset",
    "MaskComparison",
    "blacken_outside",
    "boundary_mask",
    "compare_masks",
    "load_boundary_checkpoint",
    "load_boundary_preset",
    "read_annotations",
    "train_boundary",
    "without_boundary",
]
