"""One answer: probabilities, findings, the clinical reading, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.boxes import Box
from realmnet_runtime.dicom.laterality import Laterality
from realmnet_runtime.field_of_view import FieldOfView
from realmnet_runtime.manifest import Engine

STAGES: Final = ("decode", "field_of_view", "prepare", "engine", "decision")
"""Keys of `Prediction.timings_ms`, in the order of the journey."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one bundle says of one picture on one machine.

    Attributes:
        probabilities: sigmoid(logit / temperature) in 0..1, by label name in label order.
        thresholds: of the variant that ran, by label name in label order.
        findings: names at or above their thresholds, in label order.
        grade: META-PM grade 0..4; None where the grades' answer is inconsistent or absent.
        staphyloma: posterior staphyloma; None where that group's answer is inconsistent or absent.
        pathologic_myopia: grade 2 or more, or staphyloma; None where undecided.
        inconsistencies: one line for each exclusive group without exactly one finding.
        box: (x0, y0, x1, y1) of the field of view in pixels of the original picture, half-open.
        aperture: box and mask in pixels of the picture as decoded; `field_of_view` has them in
            those of the original.
        original_size: (height, width) of the original picture, pixels.
        score_maps: (L, h, w) float32, the evidence for each label at each position of the crop.
        timings_ms: wall-clock milliseconds by stage (`STAGES`).
        input_sha256: SHA-256 of the file's bytes, or of an array's; names the picture.
        model: name and version of the model.
        bundle_sha256: digest of the bundle.
        spec_version: of the pre-processing specification.
        engine: that ran.
        engine_version: of the installed library.
        variant: name in the bundle.
        precision: in which the engine computed, as read back from it.
        threads: the engine's, as read back.
        chosen_because: why this variant and engine.
        notice: the statement the model carries; show it with every answer.
        laterality: the eye, as a DICOM file's header says; else `unknown`.
        frame: number of a DICOM file's frame, from 1; None for other pictures.
    """

    probabilities: Mapping[str, float]
    thresholds: Mapping[str, float]
    findings: tuple[str, ...]
    grade: int | None
    staphyloma: bool | None
    pathologic_myopia: bool | None
    inconsistencies: tuple[str, ...]
    box: Box
    aperture: FieldOfView
    original_size: tuple[int, int]
    score_maps: NDArray[np.float32]
    timings_ms: Mapping[str, float]
    input_sha256: str
    model: str
    bundle_sha256: str
    spec_version: int
    engine: Engine
    engine_version: str
    variant: str
    precision: str
    threads: int
    chosen_because: str
    notice: str
    laterality: Laterality = "unknown"
    frame: int | None = None

    @cached_property
    def field_of_view(self) -> FieldOfView:
        """Box and mask in pixels of the original picture, whatever scale was decoded.

        Made when first asked for: the mask of a 12-megapixel picture costs more than the model.
        """
        return self.aperture.scaled_to(*self.original_size)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready mapping; the picture is named by digest, and mask and maps are left out."""
        height, width = self.original_size
        return {
            "input": {
                "sha256": self.input_sha256,
                "width": width,
                "height": height,
                "laterality": self.laterality,
                "frame": self.frame,
            },
            "probabilities": dict(self.probabilities),
            "thresholds": dict(self.thresholds),
            "findings": list(self.findings),
            "grade": self.grade,
            "staphyloma": self.staphyloma,
            "pathologic_myopia": self.pathologic_myopia,
            "inconsistencies": list(self.inconsistencies),
            "field_of_view": {"box": list(self.box)},
            "timings_ms": {stage: round(ms, 3) for stage, ms in self.timings_ms.items()},
            "model": self.model,
            "bundle_sha256": self.bundle_sha256,
            "spec_version": self.spec_version,
            "engine": self.engine,
            "engine_version": self.engine_version,
            "variant": self.variant,
            "precision": self.precision,
            "threads": self.threads,
            "chosen_because": self.chosen_because,
            "notice": self.notice,
            "error": None,
        }
