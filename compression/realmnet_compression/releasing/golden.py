"""Golden cases: phantoms whose way through the released pipeline is written down.

Phantoms are drawn for it: a bundle never carries a patient's picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from realmnet_benchmarks.phantoms import BALANCED, HOSPITALS, PhantomCase, draw_population, render
from realmnet_compression.answers import ask
from realmnet_compression.parity import decide
from realmnet_compression.recipe import GoldenPlan, VariantPlan
from realmnet_compression.releasing.measured import Run
from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.boxes import Box
from realmnet_runtime.bundles.manifest import GoldenAnswer, GoldenCase, OperatingPoint
from realmnet_runtime.errors import GateFailed, NoFieldOfView
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec, prepare, tensor_digest, to_tensor
from realmnet_training.measuring.operating_points import arrays_of

Float32Array = npt.NDArray[np.float32]

_MARGIN: Final = 1.5
"""Probabilities stay this many tolerances away from their thresholds, so decisions cannot flip."""


@dataclass(frozen=True)
class Candidate:
    """A phantom as the runtime sees it.

    Attributes:
        case: what was drawn.
        png: the picture, losslessly coded.
        box: (x0, y0, x1, y1) of the field of view, pixels, half-open.
        tensor: (1, 3, S, S) float32.
    """

    case: PhantomCase
    png: bytes
    box: Box
    tensor: Float32Array

    @property
    def name(self) -> str:
        """The signs that were drawn, for example `phantom-PS-TFO`."""
        return "-".join(["phantom", *self.case.labels])

    @property
    def digest(self) -> str:
        """Of the tensor."""
        return tensor_digest(self.tensor[0])


def make_golden(
    plan: GoldenPlan,
    spec: PreprocessSpec,
    labels: LabelSet,
    runs: Sequence[Run],
    points: Mapping[str, OperatingPoint],
    *,
    threads: int,
) -> tuple[list[GoldenCase], dict[str, bytes]]:
    """Draw phantoms, ask every variant, keep those that all decide clearly.

    Args:
        plan: how many.
        spec: the pre-processing.
        labels: of the model.
        runs: the released variants.
        points: their operating points, by name.
        threads: of the engines.

    Returns:
        Golden cases, and their pictures by path in the bundle.

    Raises:
        GateFailed: too few phantoms are decided clearly.
    """
    candidates = draw_candidates(plan, spec)
    tensors = [candidate.tensor for candidate in candidates]
    probabilities: dict[str, npt.NDArray[np.float64]] = {}
    margins = np.full(len(candidates), np.inf)
    for run in runs:
        variant, point = run.plan, points[run.plan.name]
        raw = ask(
            run.model,
            variant.engine,
            variant.execution,
            tensors,
            labels=len(labels),
            threads=threads,
            weights=run.weights,
        )
        probabilities[variant.name], _ = decide(raw.logits, point, labels)
        distance = np.abs(probabilities[variant.name] - arrays_of(point, labels)[1])
        margins = np.minimum(margins, distance.min(axis=1) / _tolerance(variant, plan))
    kept = clearest(candidates, margins, plan)
    cases = []
    for place in kept:
        candidate = candidates[place]
        answers = tuple(
            GoldenAnswer(
                variant=run.plan.name,
                probabilities=tuple(probabilities[run.plan.name][place].tolist()),
                tolerance=_tolerance(run.plan, plan),
            )
            for run in runs
        )
        cases.append(
            GoldenCase(
                name=candidate.name,
                image=f"golden/{candidate.name}.png",
                box=candidate.box,
                box_tolerance=plan.box_tolerance,
                tensor_sha256=candidate.digest,
                answers=answers,
            )
        )
    return cases, {case.image: candidates[p].png for case, p in zip(cases, kept, strict=True)}


def _tolerance(variant: VariantPlan, plan: GoldenPlan) -> float:
    return plan.tolerance_int8 if variant.execution == "int8" else plan.tolerance_fp32


def draw_candidates(plan: GoldenPlan, spec: PreprocessSpec) -> list[Candidate]:
    """Draw phantoms of the seen hospitals and take them through the runtime's pre-processing."""
    cases = draw_population(
        plan.candidates,
        plan.seed,
        BALANCED,
        [place for place in HOSPITALS if not place.held_out],
        images_per_patient=1,
    )
    found = []
    for case in cases:
        png = encode_png(render(case, plan.height, plan.height * 5 // 4).image)
        picture = read_image(png, model_size=spec.decode_size)
        try:
            field_of_view = find_field_of_view(picture)
        except NoFieldOfView:
            continue
        tensor = to_tensor(prepare(picture, spec, field_of_view), spec)[np.newaxis]
        found.append(Candidate(case, png, field_of_view.box, tensor))
    return found


def clearest(
    candidates: list[Candidate], margins: npt.NDArray[np.float64], plan: GoldenPlan
) -> list[int]:
    """Places of the candidates to keep: those farthest from any threshold, no label set twice.

    Args:
        candidates: drawn.
        margins: (N,) least distance of a probability to its threshold, in tolerances, over all
            variants and labels.
        plan: how many.

    Raises:
        GateFailed: too few candidates are clear.
    """
    kept: dict[tuple[str, ...], int] = {}
    for place in np.argsort(-margins, kind="stable"):
        if margins[place] >= _MARGIN and len(kept) < plan.cases:
            kept.setdefault(candidates[place].case.labels, int(place))
    if len(kept) < plan.cases:
        raise GateFailed(
            f"only {len(kept)} of {len(candidates)} phantoms with different labels are decided "
            f"clearly by every variant; {plan.cases} golden cases are wanted: raise "
            "golden.candidates or train longer"
        )
    return sorted(kept.values())


def encode_png(image: npt.NDArray[np.uint8]) -> bytes:
    """PNG of an (H, W, 3) uint8 RGB picture."""
    done, coded = cv2.imencode(
        ".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9]
    )
    if not done:
        raise GateFailed(f"OpenCV could not code a picture of {image.shape} as PNG")
    return coded.tobytes()
