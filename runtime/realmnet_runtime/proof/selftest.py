"""The bundle's golden cases, run on this machine, compared stage by stage.

A golden case knows the box of its field of view, the digest of the input tensor, and for each
variant the probabilities it gave where it was released. Every stage is compared, so that a failure
says where the way parted and not only that it did.
"""

from __future__ import annotations

from typing import Final

import msgspec

from realmnet_runtime.answering.decision import findings_of
from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.bundles.manifest import GoldenCase
from realmnet_runtime.errors import GateFailed, ImageRefused
from realmnet_runtime.pictures.preprocess import tensor_digest

STAGES: Final = ("box", "tensor", "probabilities", "decisions")


class Deviation(msgspec.Struct, frozen=True):
    """How far one stage of one case is from its golden value.

    Attributes:
        case: name of the golden case.
        stage: box (pixels), tensor (0 or 1: another digest), probabilities (largest absolute
            difference), decisions (number of labels decided otherwise).
        deviation: measured.
        allowed: largest that holds.
    """

    case: str
    stage: str
    deviation: float
    allowed: float

    @property
    def held(self) -> bool:
        """Whether the deviation is within what is allowed."""
        return self.deviation <= self.allowed

    def __str__(self) -> str:
        return f"{self.case}: {self.stage} deviates by {self.deviation:g}, {self.allowed:g} allowed"


class SelfTestReport(msgspec.Struct, frozen=True):
    """What the golden cases said.

    Attributes:
        engine, engine_version, variant, precision: what ran.
        bundle_sha256: of which bundle.
        cases: number of golden cases run.
        deviations: of every stage of every case.
        refusals: cases that could not be answered, one line each.
    """

    engine: str
    engine_version: str
    variant: str
    precision: str
    bundle_sha256: str
    cases: int
    deviations: tuple[Deviation, ...]
    refusals: tuple[str, ...]

    @property
    def largest(self) -> dict[str, float]:
        """Largest deviation by stage; only stages that were reached."""
        return {
            stage: max(each.deviation for each in self.deviations if each.stage == stage)
            for stage in STAGES
            if any(each.stage == stage for each in self.deviations)
        }

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for everything that did not hold; empty where the test passed."""
        return (*self.refusals, *(str(each) for each in self.deviations if not each.held))

    def require_passed(self) -> None:
        """Return where everything held.

        Raises:
            GateFailed: naming every deviation.
        """
        if self.failures:
            raise GateFailed(
                f"self-test of {self.variant} failed: {'; '.join(self.failures)}; do not use this "
                f"bundle on this machine, or name another variant"
            )


def run_selftest(predictor: Predictor) -> SelfTestReport:
    """Run every golden case of the predictor's bundle with the predictor's variant.

    Raises:
        GateFailed: the bundle has no golden cases, so nothing can vouch for it here.
    """
    manifest = predictor.manifest
    if not manifest.golden:
        raise GateFailed("bundle has no golden cases, so nothing was tested; release it with some")
    deviations: list[Deviation] = []
    refusals: list[str] = []
    for case in manifest.golden:
        outcome = _run_case(predictor, case)
        if isinstance(outcome, str):
            refusals.append(outcome)
        else:
            deviations += outcome
    facts = predictor.facts
    return SelfTestReport(
        engine=facts.engine,
        engine_version=facts.version,
        variant=predictor.variant.name,
        precision=facts.precision,
        bundle_sha256=predictor.bundle.digest,
        cases=len(manifest.golden),
        deviations=tuple(deviations),
        refusals=tuple(refusals),
    )


def _run_case(predictor: Predictor, case: GoldenCase) -> list[Deviation] | str:
    """The deviations of every stage, or the line that says why there are none."""
    variant = predictor.variant
    golden = next((answer for answer in case.answers if answer.variant == variant.name), None)
    if golden is None:
        return f"{case.name}: has no golden answer of {variant.name}"
    try:
        # Limits fitted to a site's camera may leave out a picture that is drawn, not taken.
        prediction, tensor = predictor.predict_with_input(
            predictor.bundle.read(case.image), answer_ungradable=True
        )
    except ImageRefused as error:
        return f"{case.name}: refused: {error}"
    labels = predictor.manifest.labels
    expected = dict(zip(labels.names, golden.probabilities, strict=True))
    edges = zip(prediction.box, case.box, strict=True)
    other_findings = set(prediction.findings) ^ set(
        findings_of(expected, labels, variant.operating_point)
    )
    same_tensor = tensor_digest(tensor) == case.tensor_sha256
    return [
        Deviation(case.name, "box", max(abs(a - b) for a, b in edges), case.box_tolerance),
        Deviation(case.name, "tensor", 0.0 if same_tensor else 1.0, 0.0),
        Deviation(
            case.name,
            "probabilities",
            max(abs(prediction.probabilities[name] - expected[name]) for name in labels.names),
            golden.tolerance,
        ),
        Deviation(case.name, "decisions", float(len(other_findings)), 0.0),
    ]
