"""Where nothing may be compiled, what was not prepared here is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from realmnet_runtime import Bundle, IncompatibleError, IntegrityError, Predictor
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.compiled.prepare import prepare_bundle
from realmnet_runtime.signatures.trust import ANY_BUNDLE

pytestmark = pytest.mark.skipif(
    "openvino" not in installed_engines(), reason="openvino is not installed"
)
VARIANT = "openvino-fp32"


@pytest.fixture(scope="module")
def cache(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache") / "prepared"
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as bundle:
        list(prepare_bundle(bundle, folder, engine="openvino", threads=1))
    return folder


def opened(bundle: Path, cache: Path, **options: object) -> Predictor:
    wishes = {"variant": VARIANT, "threads": 1, "trust": ANY_BUNDLE, **options}
    return Predictor.open(bundle, cache=cache, require_prepared=True, **wishes)  # type: ignore[arg-type]


def test_what_was_prepared_is_loaded(tiny_bundle: Path, cache: Path, eye_png: bytes) -> None:
    with opened(tiny_bundle, cache) as predictor:
        assert predictor.facts.prepared
        assert "as required" in predictor.loaded_how
        found = predictor.predict(eye_png)
    with Predictor.open(
        tiny_bundle, variant=VARIANT, threads=1, cache=cache / "none", trust=ANY_BUNDLE
    ) as plain:
        assert plain.predict(eye_png).findings == found.findings


def test_what_is_absent_or_anothers_is_exit_6(tiny_bundle: Path, cache: Path) -> None:
    for folder, options in ((cache / "none", {}), (cache, {"threads": 2})):
        with pytest.raises(IncompatibleError, match="run `realmnet prepare`") as caught:
            opened(tiny_bundle, folder, **options)
        assert caught.value.exit_code == 6


def test_an_engine_that_keeps_nothing_cannot_be_prepared(tiny_bundle: Path, cache: Path) -> None:
    if "onnxruntime" not in installed_engines():
        pytest.skip("onnxruntime is not installed")
    with pytest.raises(IncompatibleError, match=r"onnxruntime keeps nothing.*openvino"):
        opened(tiny_bundle, cache, variant="onnxruntime-fp32")


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_what_was_tampered_with_is_exit_5(tiny_bundle: Path, cache: Path) -> None:
    for path in cache.glob("*.blob"):
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(IntegrityError, match="not what was prepared"):
        opened(tiny_bundle, cache)
