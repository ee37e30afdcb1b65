"""The label tables of phantoms: PSMM's seven labels, or the five of the periphery."""

from __future__ import annotations

from collections.abc import Sequence

from realmnet_benchmarks.phantoms.cases import PhantomCase
from realmnet_benchmarks.phantoms.streams import stream
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import PERIPHERAL, PSMM, LabelSet


def label_rows(
    cases: Sequence[PhantomCase], label_set: LabelSet = PSMM, unknown_share: float = 0.0
) -> list[list[str]]:
    """Header and rows of a table in the released form.

    Args:
        cases: pictures.
        label_set: PSMM's or the peripheral one.
        unknown_share: share of cells that are empty, 0 to below 1; above 0 for peripheral labels
            only. Each follows from its case, so that a case has the same cells in every table.

    Raises:
        ConfigurationError: another label set, or a share that it does not allow.
    """
    if label_set not in {PSMM, PERIPHERAL}:
        raise ConfigurationError(
            f"phantoms have no labels '{label_set.name}'; choose {PSMM.name} or {PERIPHERAL.name}"
        )
    if not 0 <= unknown_share < 1 or (unknown_share and label_set == PSMM):
        raise ConfigurationError(
            f"unknown share {unknown_share} of labels '{label_set.name}'; give 0 to below 1, and 0 "
            f"for {PSMM.name}, whose labels exclude each other"
        )
    rows = [[*label_set.codes, "filename", "ID"]]
    for case in cases:
        labels = case.row if label_set == PSMM else case.peripheral_row
        chances = stream(case.seed, "unknown labels", case.eye, case.image).uniform(
            size=len(labels)
        )
        cells = [
            "" if chance < unknown_share else f"{label:.1f}"
            for label, chance in zip(labels, chances, strict=True)
        ]
        rows.append([*cells, f"{case.stem}.jpg", case.identity])
    return rows
