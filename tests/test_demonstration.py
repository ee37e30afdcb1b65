"""The bundle that comes with the toolkit: small, whole, honest about what it is, and right."""

from __future__ import annotations

from pathlib import Path

import pytest

from realmnet_benchmarks import DEMONSTRATION_BUNDLE, DEMONSTRATION_BUNDLE_SHA256
from realmnet_runtime import Bundle, Predictor
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.bundles.default_bundle import find_default_bundle
from realmnet_runtime.bundles.manifest import Evidence, digest_line
from realmnet_runtime.bundles.writer import copy_bundle
from realmnet_runtime.errors import IntegrityError
from realmnet_runtime.proof.selftest import run_selftest
from realmnet_runtime.signatures.keys import generate_key_pair
from realmnet_runtime.signatures.trust import ANY_BUNDLE, Trust

from .conftest import need_package

NOTICE = "trained on synthetic phantoms: demonstrates the pipeline, diagnoses nothing"
EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "phantom.jpg"
REFERENCE = "fp32-reference"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open(DEMONSTRATION_BUNDLE)


def figures(bundle: Bundle, table: str) -> dict[str, Evidence]:
    return {e.variant: e for e in bundle.manifest.evidence if e.dataset == table}


def test_it_is_the_default_and_at_most_eight_megabytes() -> None:
    assert find_default_bundle() == DEMONSTRATION_BUNDLE
    assert DEMONSTRATION_BUNDLE.stat().st_size <= 8_000_000


def test_its_package_vouches_for_it_wherever_it_lies(bundle: Bundle, tmp_path: Path) -> None:
    assert bundle.digest == DEMONSTRATION_BUNDLE_SHA256
    copy = tmp_path / "copy.realmnet"
    copy.write_bytes(DEMONSTRATION_BUNDLE.read_bytes())
    for source in (copy, copy.read_bytes()):
        with Bundle.open(source) as opened:
            assert opened.standing.by == "package"
    with Predictor.open(copy, threads=1) as predictor:
        assert predictor.bundle.standing.by == "package"


def test_the_runtime_alone_opens_it_where_no_key_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realmnet_runtime.signatures.trust.offered_digests", frozenset)
    with Bundle.open(DEMONSTRATION_BUNDLE) as opened:
        assert opened.standing.by == "package"
    need_package("cryptography", "signature")
    generate_key_pair(tmp_path / "private.pem", tmp_path / "public.pem")
    with pytest.raises(IntegrityError, match="it is not signed"):
        Bundle.open(DEMONSTRATION_BUNDLE, trust=Trust.of(tmp_path / "public.pem"))


def test_another_bundle_of_its_name_is_not_vouched_for(bundle: Bundle, tmp_path: Path) -> None:
    """A byte of its manifest changed, and every digest made to fit."""
    other = copy_bundle(bundle, tmp_path / DEMONSTRATION_BUNDLE.stem)
    manifest = bundle.raw_manifest.replace(b"phantoms", b"patients", 1)
    (other / "manifest.json").write_bytes(manifest)
    (other / "manifest.sha256").write_bytes(digest_line(manifest))
    Bundle.open(other, trust=ANY_BUNDLE).close()
    with pytest.raises(IntegrityError, match="it is not signed"):
        Bundle.open(other)


def test_it_says_what_it_was_trained_and_measured_on(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert manifest.model.notice == NOTICE
    assert "synthetic phantoms" in manifest.provenance.trained_on
    assert all("synthetic phantoms" in evidence.note for evidence in manifest.evidence)


def test_one_file_serves_both_engines_and_a_cpu_without_int8_instructions(bundle: Bundle) -> None:
    variants = bundle.manifest.variants
    assert len({variant.artifact for variant in variants}) == 1
    for engine in ("openvino", "onnxruntime"):
        of_engine = [variant for variant in variants if variant.engine == engine]
        assert any(v.execution_precision == "int8" and v.cpu_requires for v in of_engine)
        assert any(v.execution_precision == "fp32" and not v.cpu_requires for v in of_engine)


def test_evidence_holds_the_limits_of_its_release(bundle: Bundle) -> None:
    measured = figures(bundle, "test")
    reference = measured.pop(REFERENCE)
    assert reference.images >= 2_000
    assert 0.80 <= reference.metrics["ap_macro"] <= 0.95
    assert set(measured) == {variant.name for variant in bundle.manifest.variants}
    for evidence in measured.values():
        assert evidence.metrics["ap_macro"] >= reference.metrics["ap_macro"] - 0.01
        assert evidence.metrics["flips_per_thousand"] < 10


@pytest.mark.parametrize("variant", ["openvino-int8", "onnxruntime-int8", "onnxruntime-fp32"])
def test_golden_cases_hold_here(bundle: Bundle, variant: str) -> None:
    engine = bundle.variant(variant).engine
    if engine not in installed_engines():
        pytest.skip(f"{engine} is not installed")
    with Predictor.open(bundle, engine=engine, variant=variant, threads=2) as predictor:
        report = run_selftest(predictor)
    report.require_passed()
    assert report.cases == len(bundle.manifest.golden) >= 2


def test_every_answer_carries_the_notice(bundle: Bundle) -> None:
    with Predictor.open(bundle, threads=2) as predictor:
        answer = predictor.predict(EXAMPLE).to_dict()
    assert answer["notice"] == NOTICE
    assert list(answer["probabilities"]) == list(bundle.manifest.labels.names)
