"""The gate in the predictor: what an ungradable picture gets, and what it gets when asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_runtime import Bundle, ImageRefused, Predictor, run_selftest
from realmnet_runtime.answering.prediction import STAGES
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.bundles.writer import copy_bundle_with_quality
from realmnet_runtime.drawing.overlay import draw_overlay
from realmnet_runtime.quality import DEFAULT_LIMITS, QualityGate, SiteFit
from realmnet_runtime.quality.limits import ScoreMapTable
from realmnet_runtime.quality.map_distance import map_distance, score_map_statistics
from realmnet_runtime.signatures.trust import ANY_BUNDLE

Image = NDArray[np.uint8]

pytestmark = pytest.mark.skipif(not installed_engines(), reason="no engine installed")


@pytest.fixture
def dark(eye: Image) -> Image:
    return (eye * 0.2).astype(np.uint8)


@pytest.fixture
def with_gate(tiny_bundle: Path, tmp_path: Path) -> Callable[..., Path]:
    """The tiny bundle with limits of its own."""

    def make(most_distance: float | None = None, **limits: float) -> Path:
        with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle:
            digest = bundle.digest
            variants = [variant.name for variant in bundle.manifest.variants]
            size = 9 * len(bundle.manifest.labels)
            rows = tuple((*[0.0] * row, 1.0) for row in range(size))
            tables = tuple(
                ScoreMapTable(name, (0.0,) * size, (1.0,) * size, rows, most_distance)
                for name in variants
                if most_distance is not None
            )
            fit = SiteFit(120, {"grey": 2}, "0" * 64, digest, variants[0])
            changed = msgspec.structs.replace(DEFAULT_LIMITS, **limits)
            gate = QualityGate(changed, fit, tables)
            return copy_bundle_with_quality(bundle, tmp_path / "gated.realmnet", gate)

    return make


def test_a_gradable_picture_is_answered_and_says_so(tiny_bundle: Path, eye: Image) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(eye)
    assert prediction.quality.gradable
    assert not prediction.withheld
    assert prediction.probabilities
    assert prediction.quality.limits_from == "default"
    assert "fit-gate" in prediction.quality.not_measured["map_distance"]
    assert prediction.to_dict()["quality"]["gradable"] is True
    assert prediction.to_dict()["error"] is None


def test_an_ungradable_picture_gets_reasons_and_nothing_else(
    tiny_bundle: Path, dark: Image
) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(dark)
        labels = predictor.manifest.labels
    assert prediction.withheld
    assert [reason.kind for reason in prediction.quality.reasons] == ["too_dark"]
    assert (prediction.probabilities, prediction.findings) == ({}, ())
    assert prediction.grade is prediction.staphyloma is prediction.pathologic_myopia is None
    assert prediction.inconsistencies == ()
    assert prediction.score_maps.shape == (len(labels), 0, 0)
    assert set(prediction.thresholds) == set(labels.names)
    # The engine was not asked.
    assert tuple(prediction.timings_ms) == STAGES[:4]
    record = prediction.to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["error"]["exit_code"] == ImageRefused.exit_code
    assert record["error"]["message"].startswith("ungradable: too dark")


def test_it_is_answered_where_that_is_asked(tiny_bundle: Path, dark: Image) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        prediction = predictor.predict(dark, answer_ungradable=True)
        (again,) = predictor.predict_many([dark], answer_ungradable=True)
    assert not prediction.withheld
    assert not prediction.quality.gradable
    assert prediction.probabilities == again.probabilities
    assert len(prediction.probabilities) == 7
    assert prediction.to_dict()["error"] is None


def test_limits_of_the_bundle_take_the_place_of_the_default(
    with_gate: Callable[..., Path], dark: Image, eye: Image
) -> None:
    with Predictor.open(with_gate(least_light=0.01), trust=ANY_BUNDLE) as predictor:
        loose = predictor.predict(dark)
    assert loose.quality.gradable
    assert loose.quality.limits_from == "bundle"
    with Predictor.open(with_gate(least_light=0.9), trust=ANY_BUNDLE) as predictor:
        strict = predictor.predict(eye)
        # What is drawn need not be like what the site's camera takes.
        run_selftest(predictor).require_passed()
    assert [reason.allowed for reason in strict.quality.reasons] == [0.9]


def test_maps_far_from_the_table_withhold_the_answer(
    with_gate: Callable[..., Path], eye: Image
) -> None:
    with Predictor.open(with_gate(most_distance=1e-3), trust=ANY_BUNDLE) as predictor:
        far = predictor.predict(eye)
        asked = predictor.predict(eye, answer_ungradable=True)
        table = predictor.manifest.quality.score_maps[0]  # type: ignore[union-attr]
    assert [reason.kind for reason in far.quality.reasons] == ["far_from_training"]
    assert far.withheld
    assert tuple(far.timings_ms) == STAGES
    expected = map_distance(table, score_map_statistics(asked.score_maps))
    assert asked.quality.measures["map_distance"] == expected
    assert asked.quality.not_measured == {}
    with Predictor.open(with_gate(most_distance=1e6), trust=ANY_BUNDLE) as predictor:
        near = predictor.predict(eye)
    assert near.quality.gradable
    assert near.probabilities == asked.probabilities


def test_what_is_ungradable_without_the_network_says_why_it_was_not_asked(
    with_gate: Callable[..., Path], dark: Image
) -> None:
    with Predictor.open(with_gate(most_distance=1e6), trust=ANY_BUNDLE) as predictor:
        quality = predictor.predict(dark).quality
    assert "not asked" in quality.not_measured["map_distance"]


def test_an_ungradable_picture_can_be_drawn(tiny_bundle: Path, dark: Image) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        withheld = predictor.predict(dark)
        asked = predictor.predict(dark, answer_ungradable=True)
    panels = [draw_overlay(dark, each)[:, 2 * dark.shape[1] :] for each in (withheld, asked)]
    assert (panels[0] != panels[1]).any()
