"""The self-test passes on a sound bundle and names the stage where another one parts."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from realmnet_runtime import GateFailed, Predictor, run_selftest
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.signatures.trust import ANY_BUNDLE


class Maker(Protocol):
    def __call__(self, path: Path, **options: object) -> Path: ...


pytestmark = pytest.mark.skipif(not installed_engines(), reason="no engine installed")


def test_a_sound_bundle_passes_at_every_stage(tiny_bundle: Path) -> None:
    with Predictor.open(tiny_bundle, trust=ANY_BUNDLE) as predictor:
        names = [each.name for each in predictor.manifest.variants]
    tried = 0
    for name in names:
        if name.partition("-")[0] not in installed_engines():
            continue
        with Predictor.open(tiny_bundle, variant=name, trust=ANY_BUNDLE) as predictor:
            report = run_selftest(predictor)
        report.require_passed()
        assert report.variant == name
        assert report.cases == 1
        assert set(report.largest) == {"box", "tensor", "probabilities", "decisions"}
        assert report.largest["box"] == report.largest["tensor"] == 0
        tried += 1
    assert tried >= 2


@pytest.mark.parametrize(
    ("liberty", "stage"),
    [
        ({"box_off_by": 5}, "box deviates by 5, 1 allowed"),
        ({"tensor_sha256": "ab" * 32}, "tensor deviates by 1, 0 allowed"),
        ({"probabilities_off_by": 0.3}, "probabilities deviates by"),
        ({"probabilities_off_by": -0.9}, "decisions deviates by"),
    ],
)
def test_the_stage_that_deviates_is_named(
    liberty: dict[str, object], stage: str, make_bundle: Maker, tmp_path: Path
) -> None:
    path = make_bundle(tmp_path / "b.realmnet", **liberty)
    with Predictor.open(path, trust=ANY_BUNDLE) as predictor:
        report = run_selftest(predictor)
    assert any(stage in line for line in report.failures)
    with pytest.raises(GateFailed, match=stage) as caught:
        report.require_passed()
    assert caught.value.exit_code == 4


def test_a_bundle_without_golden_cases_vouches_for_nothing(
    make_bundle: Maker, tmp_path: Path
) -> None:
    path = make_bundle(tmp_path / "b.realmnet", golden=False)
    with (
        Predictor.open(path, trust=ANY_BUNDLE) as predictor,
        pytest.raises(GateFailed, match="no golden cases"),
    ):
        run_selftest(predictor)
