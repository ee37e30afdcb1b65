"""The development pictures a quantiser is given: those that set ranges, and others that check."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from realmnet_benchmarks.records import read_psmm
from realmnet_compression.quantisation.calibration import (
    CalibrationPlan,
    InputTensors,
    choose_calibration,
    require_development,
)
from realmnet_compression.quantisation.quantise import Check
from realmnet_training.checkpoint import CheckpointFacts
from realmnet_training.measuring.operating_points import arrays_of
from realmnet_training.pictures.prepared import PreparedSplit, prepare_split

_WORKERS: Final = 2

Pictures = tuple[Sequence[npt.NDArray[np.float32]], Check]


@contextmanager
def quantiser_table(
    data: Path,
    table: str,
    *,
    plan: CalibrationPlan,
    check_pictures: int,
    facts: CheckpointFacts,
    cache: Path | None,
) -> Iterator[Pictures]:
    """The pictures of `quantiser_pictures`, from a table that is prepared for it.

    Args:
        data: data set in the released PSMM layout.
        table: name of a development table of it.
        plan: which of its pictures calibrate.
        check_pictures: how many of the others check.
        facts: of the checkpoint.
        cache: folder of prepared pictures; of None a temporary one, gone at the block's end.

    Raises:
        MissingPath: no such data set or table.
        UsageError, ConfigurationError: as there.
        OutputError: the cache cannot be written.
    """
    split = read_psmm(data, facts.label_set)[table]
    require_development(split)
    with tempfile.TemporaryDirectory(prefix="realmnet-") as temporary:
        prepared = prepare_split(split, facts.spec, cache or Path(temporary), _WORKERS)
        yield quantiser_pictures(prepared, plan, check_pictures, facts)


def quantiser_pictures(
    development: PreparedSplit, plan: CalibrationPlan, check_pictures: int, facts: CheckpointFacts
) -> Pictures:
    """Calibration tensors, and other development pictures on which decisions must hold.

    Args:
        development: the development table.
        plan: which of its pictures calibrate.
        check_pictures: how many of the others check.
        facts: of the checkpoint, for its specification and thresholds.

    Raises:
        UsageError: not development data, or no picture is left to check on.
        ConfigurationError: a label with too few pictures.
    """
    chosen = choose_calibration(development.split, plan)
    others = np.setdiff1d(np.arange(len(development.split)), chosen)
    shuffled = np.random.default_rng(plan.seed).permutation(others)
    temperatures, thresholds = arrays_of(facts.operating_point, facts.label_set)
    check = Check(
        tensors=InputTensors(development, facts.spec, shuffled[:check_pictures]),
        logit_thresholds=temperatures * np.log(thresholds / np.maximum(1.0 - thresholds, 1e-12)),
    )
    return InputTensors(development, facts.spec, chosen), check
