"""The pictures two forms of a model are asked about: a table's, or phantoms drawn for it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from realmnet_benchmarks.records import read_psmm
from realmnet_benchmarks.score_facts import PHANTOMS
from realmnet_compression.answers import Float32Array
from realmnet_compression.quantisation.calibration import InputTensors
from realmnet_compression.recipe import GoldenPlan
from realmnet_compression.releasing.golden import draw_candidates
from realmnet_runtime.labels import LabelSet
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.measuring.scoring import measured_on
from realmnet_training.pictures.prepared import prepare_split

_WORKERS: Final = 2
_SEED: Final = 11
"""Not that of the golden cases, which the bundle was chosen to answer clearly."""


@contextmanager
def table_pictures(
    data: Path, table: str, label_set: LabelSet, spec: PreprocessSpec, cache: Path | None
) -> Iterator[tuple[Sequence[Float32Array], str]]:
    """Tensors of a table while the block lasts, and what its pictures are.

    Raises:
        MissingPath, ConfigurationError: no such data set or table.
        OutputError: the cache cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="realmnet-") as temporary:
        split = read_psmm(data, label_set)[table]
        prepared = prepare_split(split, spec, cache or Path(temporary), _WORKERS)
        yield InputTensors(prepared, spec), measured_on(prepared.split.sources)


def drawn_pictures(count: int, height: int, spec: PreprocessSpec) -> tuple[list[Float32Array], str]:
    """Tensors of phantoms, and that they are phantoms.

    Args:
        count: phantoms to draw.
        height: rows of each.
        spec: the device's own pre-processing.
    """
    plan = GoldenPlan(candidates=count, height=height, seed=_SEED)
    return [found.tensor for found in draw_candidates(plan, spec)], PHANTOMS
