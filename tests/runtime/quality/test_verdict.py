"""From measures to reasons: each limit by itself, its edge, and pictures spoilt on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.quality import DEFAULT_LIMITS, Quality, judge, measure_picture
from realmnet_runtime.quality.verdict import LEAST_COLOUR, RULES, Rule

from .conftest import blurred, grey_of, lit, shared_pictures

Image = NDArray[np.uint8]

GOOD = {
    "aperture_share": 0.7,
    "aspect": 1.25,
    "light": 0.4,
    "burnt": 0.0,
    "sharpness": 0.04,
    "covered": 0.0,
    "saturation": 0.94,
    "red_share": 0.52,
}


def kinds(image: Image) -> set[str]:
    measures = measure_picture(image, find_field_of_view(image))
    return {reason.kind for reason in judge(measures, DEFAULT_LIMITS)}


def test_a_good_picture_has_no_reason() -> None:
    assert judge(GOOD, DEFAULT_LIMITS) == ()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.limit)
def test_each_limit_is_allowed_itself_and_nothing_beyond(rule: Rule) -> None:
    limit = float(getattr(DEFAULT_LIMITS, rule.limit))
    measure = rule.measure
    beyond = -1e-9 if rule.limit.startswith("least") else 1e-9
    assert judge({**GOOD, measure: limit}, DEFAULT_LIMITS) == ()
    (reason,) = judge({**GOOD, measure: limit + beyond}, DEFAULT_LIMITS)
    assert (reason.kind, reason.measure) == (rule.kind, measure)
    assert (reason.measured, reason.allowed) == (limit + beyond, limit)
    assert "\n" not in reason.text


@pytest.mark.parametrize(
    ("saturation", "red_share", "kind"),
    [
        (0.0, 0.5, "angiogram"),
        (LEAST_COLOUR - 0.01, 0.9, "angiogram"),
        (0.7, 0.7, "fundus_photograph"),
        (0.7, 0.5, "not_two_laser"),
        (0.95, 0.1, "not_two_laser"),
        (0.95, 0.95, "not_two_laser"),
    ],
)
def test_the_kind_of_picture_is_told_once(saturation: float, red_share: float, kind: str) -> None:
    measures = {**GOOD, "saturation": saturation, "red_share": red_share}
    assert [reason.kind for reason in judge(measures, DEFAULT_LIMITS)] == [kind]


def test_every_reason_is_told_kind_first() -> None:
    measures = {**GOOD, "saturation": 0.0, "light": 0.01, "sharpness": 0.001}
    found = [reason.kind for reason in judge(measures, DEFAULT_LIMITS)]
    assert found == ["angiogram", "too_dark", "blurred"]


def test_pictures_spoilt_on_purpose(eye: Image) -> None:
    height, width = eye.shape[:2]
    # Small as a picture within a picture is, not as an enlarged one.
    framed = np.zeros((3 * height, 3 * width, 3), np.uint8)
    framed[height : 2 * height, width : 2 * width] = eye
    lid = eye.copy()
    lid[270:][find_field_of_view(eye).mask[270:]] = (235, 230, 10)
    fundus = np.stack([eye[..., 0], eye[..., 0] * 0.5, eye[..., 0] * 0.25], axis=2)
    noise = np.random.default_rng(5).normal(0, 3, eye.shape)
    assert kinds(eye) == set()
    assert kinds(blurred(eye, 6)) == {"blurred"}
    assert kinds(lit(eye, 0.2)) == {"too_dark"}
    assert "burnt" in kinds(lit(eye, 3))
    assert "lid_or_lashes" in kinds(lid)
    assert kinds(framed) == {"aperture_too_small"}
    assert kinds(grey_of(eye)) == {"angiogram"}
    assert kinds(np.clip(grey_of(eye) + noise, 0, 255).astype(np.uint8)) == {"angiogram"}
    assert kinds(fundus.astype(np.uint8)) == {"fundus_photograph"}
    assert kinds(eye * np.array([0, 1, 0], np.uint8)) == {"not_two_laser"}


def test_real_two_laser_pictures_are_gradable(real_uwf: list[Path]) -> None:
    assert [kinds(read_image(path, model_size=224)) for path in real_uwf] == [set()] * len(real_uwf)


def test_a_real_angiogram_is_one() -> None:
    paths = shared_pictures("other")
    if not paths:
        pytest.skip("no ../shared/images beside the repository")
    assert all("angiogram" in kinds(read_image(path, model_size=224)) for path in paths)


def test_quality_is_json_with_what_was_and_was_not_measured() -> None:
    reasons = judge({**GOOD, "light": 0.01}, DEFAULT_LIMITS)
    quality = Quality(reasons, GOOD, {"map_distance": "no table"}, "default")
    record = quality.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert (record["gradable"], record["limits_from"]) == (False, "default")
    assert record["reasons"][0]["kind"] == "too_dark"
    assert record["measures"].keys() == GOOD.keys()
    assert record["not_measured"] == {"map_distance": "no table"}
    assert quality.summary == reasons[0].text
    assert Quality((), GOOD, {}, "bundle").summary == "gradable"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"least_aspect": 2.0}, "aspect from 2.0 to 1.7"),
        ({"most_red_share": 0.3}, "red_share"),
        ({"least_light": float("nan")}, "least_light is nan"),
    ],
)
def test_impossible_limits_are_refused(change: dict[str, float], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        type(DEFAULT_LIMITS)(**{**msgspec.structs.asdict(DEFAULT_LIMITS), **change})
