"""Steps that look at every variant made so far: the gate, and the bundle of what passed."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from realmnet_benchmarks.dominance import Steps
from realmnet_benchmarks.non_inferiority import Margins
from realmnet_compression.compressing.steps.base import Count, Kind, Share, Step
from realmnet_compression.recipe import GoldenPlan, QualityChoice


class GateStep(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="gate"):
    """Compare every variant made so far with FP32; one that fails ends the run with exit code 4.

    Attributes:
        margins: of non-inferiority: what AP, AUROC and F1 may lose.
        tables: evidence tables on which non-inferiority must be shown; all where none is named.
        flips: share of label decisions below which a variant may differ from FP32, and INT8
            variants from each other, on every evidence table.
        rank_correlation: least median rank correlation of any label's score maps with FP32's.
        peak_shift: greatest median distance in cells between any label's highest scores.
        replicates: of the bootstrap.
        seed: of its draws.
        steps: what counts as a difference where a variant is dominated by another.
    """

    margins: Margins = Margins()
    tables: tuple[str, ...] = ()
    flips: Share = 0.01
    rank_correlation: Annotated[float, Meta(ge=-1.0, le=1.0)] = 0.8
    peak_shift: Annotated[float, Meta(ge=0.0)] = 1.0
    replicates: Annotated[int, Meta(ge=2)] = 1_000
    seed: Annotated[int, Meta(ge=0)] = 42
    steps: Steps = Steps()

    MAKES: ClassVar[tuple[Kind, ...]] = ("verdict",)


class BundleStep(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="bundle"):
    """Write the bundle of all variants that passed the gate and are not dominated.

    Attributes:
        most_bytes: of the file.
        golden: which phantoms become golden cases.
        quality: `fitted` writes limits of quality fitted on the development table's raw pictures
            into the bundle; `default` leaves the runtime's own.
    """

    most_bytes: Count = 140_000_000
    golden: GoldenPlan = GoldenPlan()
    quality: QualityChoice = "default"

    TAKES: ClassVar[tuple[Kind, ...]] = ("verdict",)
    MAKES: ClassVar[tuple[Kind, ...]] = ("bundle",)
