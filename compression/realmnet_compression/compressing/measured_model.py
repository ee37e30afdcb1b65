"""A model with its variants, their answers and operating points, as a step's folder holds it.

model.onnx                      the file, of an OpenVINO IR model.xml and model.bin
points.json                     temperatures and thresholds of every variant
answers/TABLE.VARIANT.npz       logits and score maps of every picture
metrics.json                    figures
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from realmnet_compression.answers import RawAnswers
from realmnet_compression.compressing.folder import write_json
from realmnet_compression.compressing.steps import ExportStep, ModelStep
from realmnet_compression.releasing.measured import REFERENCE_PLAN, Run
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.files import write_atomically

POINTS_FILE: Final = "points.json"
ANSWERS: Final = "answers"


@dataclass(frozen=True)
class MeasuredModel:
    """One step's model.

    Attributes:
        step: that made it.
        folder: its folder.
        points: operating points by variant; of the export the reference's as well.
    """

    step: ModelStep
    folder: Path
    points: Mapping[str, OperatingPoint]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum((self.folder / name).stat().st_size for name in self.step.FILES)

    def runs(self) -> list[Run]:
        """Its variants, without the reference."""
        content = self._content()
        return [Run(plan, *content) for plan in self.step.variants]

    def reference_run(self) -> Run:
        """The FP32 file in onnxruntime."""
        return Run(REFERENCE_PLAN, *self._content())

    def _content(self) -> list[bytes]:
        return [(self.folder / name).read_bytes() for name in self.step.FILES]

    def answers(self, table: str, variant: str) -> RawAnswers:
        """What a variant answered to a table."""
        with np.load(answers_path(self.folder, table, variant), allow_pickle=False) as archive:
            return RawAnswers(logits=archive["logits"], score_maps=archive["score_maps"])


def runs_of(step: ModelStep, folder: Path) -> list[Run]:
    """Ways to run what a step made: its variants, and of the export the reference before them."""
    model = MeasuredModel(step, folder, {})
    first = [model.reference_run()] if isinstance(step, ExportStep) else []
    return [*first, *model.runs()]


def answers_path(folder: Path, table: str, variant: str) -> Path:
    """File of a variant's answers to a table."""
    return folder / ANSWERS / f"{table}.{variant}.npz"


def write_answers(folder: Path, table: str, answers: Mapping[str, RawAnswers]) -> None:
    """Write what each variant answered to a table; equal answers give equal bytes.

    Raises:
        OutputError: a file cannot be written.
    """
    (folder / ANSWERS).mkdir(exist_ok=True)
    for variant, found in answers.items():
        arrays = {"logits": found.logits, "score_maps": found.score_maps}
        write_atomically(
            answers_path(folder, table, variant),
            lambda file, arrays=arrays: np.savez(file, **arrays),  # type: ignore[misc]
        )


def write_points(folder: Path, points: Mapping[str, OperatingPoint]) -> None:
    """Write operating points by variant.

    Raises:
        OutputError: the file cannot be written.
    """
    write_json(folder / POINTS_FILE, dict(points))


def read_measured(step: ModelStep, folder: Path) -> MeasuredModel:
    """Open what a finished step left."""
    path = folder / POINTS_FILE
    points = (
        msgspec.json.decode(path.read_bytes(), type=dict[str, OperatingPoint])
        if path.is_file()
        else {}
    )
    return MeasuredModel(step, folder, points)


def all_points(models: Iterable[MeasuredModel]) -> dict[str, OperatingPoint]:
    """Operating points of every variant and of the reference, by name."""
    return {name: point for model in models for name, point in model.points.items()}
