"""One answer: probabilities, findings, the clinical reading, and how it came about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from realmnet_runtime.answering.explain import bounded_size, heat_map
from realmnet_runtime.aperture.field_of_view import FieldOfView
from realmnet_runtime.boxes import Box
from realmnet_runtime.bundles.manifest import Engine
from realmnet_runtime.dicom.laterality import Laterality
from realmnet_runtime.errors import ImageRefused, UsageError
from realmnet_runtime.pictures.frame import Frame, size_of_picture
from realmnet_runtime.quality import Quality
from realmnet_runtime.suggestions import nearest

STAGES: Final = ("decode", "field_of_view", "quality", "prepare", "engine", "decision")
"""Keys of `Prediction.timings_ms`, in the order of the journey; of a picture that is ungradable
before the engine is asked, only the first four."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What one bundle says of one picture on one machine.

    Of an ungradable picture it says so and nothing else, unless it was asked to answer all the
    same: then `withheld` is true, and no probability, finding or reading is given.

    Attributes:
        quality: whether the picture is gradable, and why not.
        probabilities: sigmoid(logit / temperature) in 0..1, by label name in label order; empty
            where the answer is withheld.
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
        placement: where the model's square lies on the original picture.
        score_maps: (L, h, w) float32, the evidence for each label at each position of the model's
            square, which `heat_maps` has on the picture; (L, 0, 0) where the answer is withheld.
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
        answered_at: when, in UTC, ISO 8601 with milliseconds, by this machine's clock.
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
    placement: Frame
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
    answered_at: str
    quality: Quality
    laterality: Laterality = "unknown"
    frame: int | None = None

    @property
    def withheld(self) -> bool:
        """Whether there is no answer, since the picture is ungradable."""
        return not self.probabilities

    @property
    def refusal(self) -> dict[str, Any] | None:
        """Why the answer is withheld, as errors are told in JSON; None where there is one."""
        if not self.withheld:
            return None
        return {
            "kind": "Ungradable",
            "exit_code": ImageRefused.exit_code,
            "message": f"ungradable: {self.quality.summary}",
        }

    @cached_property
    def field_of_view(self) -> FieldOfView:
        """Box and mask in pixels of the original picture, whatever scale was decoded.

        Made when first asked for: the mask of a 12-megapixel picture costs more than the model.
        """
        return self.aperture.scaled_to(*self.original_size)

    def heat_maps(
        self, labels: Iterable[str] | None = None, *, size: tuple[int, int] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Where in the picture the evidence for each reported finding lies.

        The network is not run again. Each map takes 4 bytes a pixel, so that one of a picture of
        12 megapixels takes 48 MB.

        Args:
            labels: names; the findings where None.
            size: (height, width) in which the picture is wanted, `original_size` for its own
                pixels; where None, its longer side is cut down to `explain.HEAT_MAP_SIDE`.

        Returns:
            By label, (height, width) float32 on the scale of logits (`explain`): positive speaks
            for the label, negative against it; 0 outside the aperture.

        Raises:
            UsageError: a label the model does not have, a withheld answer, or a size that no
                picture has.
            IncompatibleError: the engine answered scores that are not finite.
        """
        names = tuple(self.thresholds)
        wanted = self.findings if labels is None else tuple(labels)
        if wanted and self.withheld:
            raise UsageError(f"{self.quality.summary}: the answer was withheld, so it has no maps")
        for name in wanted:
            if name not in names:
                raise UsageError(
                    f"no label '{name}'; the model has {', '.join(names)}{nearest(name, names)}"
                )
        shape = size_of_picture(bounded_size(self.original_size) if size is None else size)
        mask = self.aperture.scaled_to(*shape).mask
        return {
            name: heat_map(self.score_maps[names.index(name)], self.placement, mask)
            for name in wanted
        }

    def heat_map(self, label: str, *, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """As `heat_maps`, of one label, found or not."""
        return self.heat_maps([label], size=size)[label]

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
            "quality": self.quality.to_dict(),
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
            "time": self.answered_at,
            "error": self.refusal,
        }
