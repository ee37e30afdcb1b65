"""Which pictures a quantiser may look at, and their tensors by the device's own pre-processing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Final, overload

import msgspec
import numpy as np
import numpy.typing as npt

from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.pictures.preprocess import PreprocessSpec, to_tensor
from realmnet_training.pictures.prepared import PreparedSplit

DEVELOPMENT: Final = "val"
"""The only partition whose pictures may shape a variant: ranges, thresholds, choice of layers."""

Count = Annotated[int, msgspec.Meta(ge=1)]
Rows = npt.NDArray[np.intp]
Float32Array = npt.NDArray[np.float32]


class CalibrationPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many development pictures set the ranges of activations.

    Attributes:
        pictures: in all.
        at_least: of each label; a label with fewer is refused.
        seed: of the choice.
    """

    pictures: Count = 200
    at_least: Count = 16
    seed: Annotated[int, msgspec.Meta(ge=0)] = 0


def choose_calibration(split: Split, plan: CalibrationPlan) -> Rows:
    """Choose calibration pictures, every label and every source among them.

    The rarest label is served first; what is left goes to the sources in turn.

    Args:
        split: a development table.
        plan: how many.

    Returns:
        Ascending row numbers, `plan.pictures` of them, or all where there are fewer.

    Raises:
        UsageError: a table that is not development data.
        ConfigurationError: a label with too few pictures, named.
    """
    require_development(split)
    positives = split.labels.sum(axis=0)
    for name, count in zip(split.label_set.names, positives.tolist(), strict=True):
        if count < plan.at_least:
            raise ConfigurationError(
                f"split '{split.name}' has {count} pictures of '{name}'; calibration needs "
                f"{plan.at_least} of each label: add pictures or lower calibration.at_least"
            )
    order = np.random.default_rng(plan.seed).permutation(len(split))
    chosen: dict[int, None] = {}
    for label in np.argsort(positives, kind="stable"):
        having = [int(row) for row in order if split.labels[row, label]]
        already = sum(row in chosen for row in having)
        fresh = [row for row in having if row not in chosen]
        chosen |= dict.fromkeys(fresh[: max(0, plan.at_least - already)])
    for row in _by_source_in_turn(split, order):
        if len(chosen) >= plan.pictures:
            break
        chosen[row] = None
    return np.array(sorted(chosen), np.intp)


def require_development(split: Split) -> None:
    """Refuse a table whose pictures must not shape a variant.

    Raises:
        UsageError: another partition than the development one.
    """
    if split.partition != DEVELOPMENT:
        raise UsageError(
            f"split '{split.name}' may not calibrate or tune a variant: only development pictures "
            f"(split '{DEVELOPMENT}') may; test pictures would no longer be unseen"
        )


class InputTensors(Sequence[Float32Array]):
    """Input tensors (1, 3, S, S) float32 of prepared pictures, made when asked for.

    Args:
        prepared: pictures of a table.
        spec: the device's pre-processing; S is its size.
        rows: which pictures, in which order; all where None.
    """

    def __init__(
        self, prepared: PreparedSplit, spec: PreprocessSpec, rows: Iterable[int] | None = None
    ) -> None:
        self._prepared = prepared
        self._spec = spec
        self._rows = [int(row) for row in (range(len(prepared.split)) if rows is None else rows)]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> Float32Array: ...

    @overload
    def __getitem__(self, place: slice) -> InputTensors: ...

    def __getitem__(self, place: int | slice) -> Float32Array | InputTensors:
        if isinstance(place, slice):
            return InputTensors(self._prepared, self._spec, self._rows[place])
        picture = np.ascontiguousarray(self._prepared.pictures[self._rows[place]])
        return to_tensor(picture, self._spec)[np.newaxis]


def _by_source_in_turn(split: Split, order: npt.NDArray[np.int64]) -> list[int]:
    queues = {
        source: [int(row) for row in order if split.sources[row] == source]
        for source in sorted(set(split.sources))
    }
    longest = max(len(queue) for queue in queues.values())
    return [
        queue[turn] for turn in range(longest) for queue in queues.values() if turn < len(queue)
    ]
