"""Limits fitted to a site: what they let pass, what moves them and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from realmnet_runtime.errors import UsageError
from realmnet_runtime.quality import DEFAULT_LIMITS, judge
from realmnet_runtime.quality.fitting import NEAREST, fit_limits
from realmnet_runtime.quality.map_distance import LEAST_PICTURES

TYPICAL = {
    "aperture_share": (0.7, 0.05),
    "aspect": (1.27, 0.03),
    "light": (0.4, 0.05),
    "burnt": (0.0, 0.005),
    "sharpness": (0.04, 0.006),
    "covered": (0.0, 0.02),
    "saturation": (0.94, 0.01),
    "red_share": (0.53, 0.03),
}


def site(count: int, seed: int = 0, **shifts: float) -> list[dict[str, float]]:
    random = np.random.default_rng(seed)
    return [
        {
            name: abs(shifts.get(name, middle) + width * float(random.normal()))
            for name, (middle, width) in TYPICAL.items()
        }
        for _ in range(count)
    ]


def test_a_sites_own_pictures_pass() -> None:
    limits = fit_limits(site(400))
    refused = sum(bool(judge(row, limits)) for row in site(400, seed=1))
    assert refused <= 8


def test_a_darker_camera_moves_its_limit_and_no_other() -> None:
    usual, dark = fit_limits(site(300)), fit_limits(site(300, light=0.2))
    assert dark.least_light == pytest.approx(usual.least_light - 0.2, abs=1e-6)
    for name in set(usual.__struct_fields__) - {"least_light"}:
        assert getattr(dark, name) == getattr(usual, name)
    row = {**site(1)[0], "light": 0.12}
    assert [reason.kind for reason in judge(row, DEFAULT_LIMITS)] == ["too_dark"]
    assert judge(row, dark) == ()


def test_a_few_bad_pictures_move_little() -> None:
    rows = site(400)
    spoilt = [{**row, "sharpness": 0.001, "light": 0.01} for row in rows[:4]]
    clean, mixed = fit_limits(rows), fit_limits([*spoilt, *rows[4:]])
    assert mixed.least_sharpness == pytest.approx(clean.least_sharpness, abs=0.005)
    assert mixed.least_light == pytest.approx(clean.least_light, abs=0.05)
    assert all(judge(row, mixed) for row in spoilt)


def test_pictures_all_alike_leave_room() -> None:
    row = {name: middle for name, (middle, _) in TYPICAL.items()}
    limits = fit_limits([row] * LEAST_PICTURES)
    for name in limits.__struct_fields__:
        side, _, measure = name.partition("_")
        away = NEAREST[measure] if side == "most" else -NEAREST[measure]
        assert getattr(limits, name) == pytest.approx(row[measure] + away)


def test_shares_stay_shares() -> None:
    limits = fit_limits(site(200, burnt=0.99, light=0.02, covered=0.95))
    assert limits.most_burnt == limits.most_covered == 1.0
    assert limits.least_light == 0.0


def test_too_few_are_refused_with_their_number() -> None:
    with pytest.raises(UsageError, match=f"{LEAST_PICTURES - 1} pictures"):
        fit_limits(site(LEAST_PICTURES - 1))
