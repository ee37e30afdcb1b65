"""Pictures measured for a fit: which are kept, what is counted, and a gate of two variants."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from realmnet_runtime.errors import NoFieldOfView, UnreadableImage, UsageError
from realmnet_runtime.quality import DEFAULT_LIMITS, QualityLimits
from realmnet_runtime.quality.fitting import fit_limits
from realmnet_runtime.quality.map_distance import fit_table, map_distance
from realmnet_runtime.quality.measured import (
    MeasuredPicture,
    MeasuredPictures,
    count_beyond,
    count_far,
    fit_gate,
)

MEASURES = tuple(dict.fromkeys(n.partition("_")[2] for n in QualityLimits.__struct_fields__))
DIGEST = "0" * 64


def picture(number: int, **changes: float) -> MeasuredPicture:
    random = np.random.default_rng(number)
    measures = {name: float(random.uniform(0.3, 0.9)) for name in MEASURES} | changes
    statistics = {name: random.normal(size=63) for name in ("first", "second")}
    return MeasuredPicture(hashlib.sha256(bytes([number])).hexdigest(), measures, statistics)


def measured(*pictures: MeasuredPicture) -> MeasuredPictures:
    found = MeasuredPictures()
    for each in pictures:
        found.add(each)
    return found


def many(count: int = 120) -> list[MeasuredPicture]:
    return [picture(number) for number in range(count)]


def test_a_gate_has_a_table_of_every_variant_and_no_order() -> None:
    pictures = many()
    gate = fit_gate(measured(*pictures), bundle_sha256=DIGEST, variants=["second", "first"])
    turned = fit_gate(measured(*pictures[::-1]), bundle_sha256=DIGEST, variants=["second", "first"])

    rows = sorted(pictures, key=lambda each: each.sha256)
    assert gate == turned
    assert gate.limits == fit_limits([row.measures for row in rows])
    assert gate.fitted_on.variant == "second"
    assert gate.score_maps == tuple(
        fit_table(name, np.stack([row.statistics[name] for row in rows]))
        for name in ("second", "first")
    )
    digests = "".join(f"{row.sha256}\n" for row in rows)
    assert gate.fitted_on.pictures_sha256 == hashlib.sha256(digests.encode()).hexdigest()


def test_what_is_left_out_is_counted() -> None:
    found = measured(*many(), picture(3), picture(130, saturation=0.2))
    found.leave_out(UnreadableImage("x"))
    found.leave_out(NoFieldOfView("x"))

    assert len(found.rows) == 120
    assert found.left_out == {
        "NoFieldOfView": 1,
        "UnreadableImage": 1,
        "grey": 1,
        "the same picture again": 1,
    }
    assert fit_gate(found, bundle_sha256=DIGEST, variants=["first"]).fitted_on.left_out == (
        found.left_out
    )


def test_too_many_left_out_are_refused_and_the_same_again_is_none_of_them() -> None:
    found = measured(*many(), *many())
    for _ in range(13):
        found.require_enough()
        found.leave_out(UnreadableImage("x"))
    found.require_enough()
    found.leave_out(UnreadableImage("x"))
    with pytest.raises(UsageError, match="14 of 134 pictures cannot be measured"):
        found.require_enough()
    with pytest.raises(UsageError, match="3 pictures to fit on"):
        measured(*many(3)).require_enough()


def test_pictures_beyond_a_limit_are_counted_by_numpy_too() -> None:
    found = measured(*many())
    counts = count_beyond(found, DEFAULT_LIMITS)

    assert list(counts) == list(QualityLimits.__struct_fields__)
    for name, count in counts.items():
        values = np.array([row.measures[name.partition("_")[2]] for row in found.rows])
        allowed = getattr(DEFAULT_LIMITS, name)
        beyond = values < allowed if name.startswith("least") else values > allowed
        assert count == beyond.sum()
    assert counts["most_burnt"] == 120
    assert 0 < counts["most_red_share"] < 120


def test_a_value_at_its_limit_is_not_beyond_it() -> None:
    for name in QualityLimits.__struct_fields__:
        at = {name.partition("_")[2]: getattr(DEFAULT_LIMITS, name)}
        assert not DEFAULT_LIMITS.is_beyond(name, at)


def test_far_pictures_are_counted() -> None:
    found = measured(*many())
    (table,) = fit_gate(found, bundle_sha256=DIGEST, variants=["second"]).score_maps
    distances = [map_distance(table, row.statistics["second"]) for row in found.rows]

    assert count_far(found, table) == sum(each > table.most_distance for each in distances)
