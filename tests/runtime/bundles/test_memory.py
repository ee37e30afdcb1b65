"""A bundle decrypted into memory answers, and nothing of it reaches a disk."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import pytest

from realmnet_runtime import Bundle, Predictor
from realmnet_runtime.backends import installed_engines
from realmnet_runtime.bundles.manifest import Variant
from realmnet_runtime.bundles.writer import write_bundle
from realmnet_runtime.compiled.prepare import prepare_bundle
from realmnet_runtime.errors import IntegrityError, UsageError
from realmnet_runtime.signatures.trust import ANY_BUNDLE

BundleMaker = Callable[..., Path]


class Ir(Protocol):
    content: bytes
    weights: bytes


def test_bytes_and_a_file_open_as_the_path_does(bundle_zip: Path) -> None:
    content = bundle_zip.read_bytes()
    with Bundle.open(bundle_zip, trust=ANY_BUNDLE) as expected, bundle_zip.open("rb") as file:
        for source in (content, bytearray(content), memoryview(content), io.BytesIO(content), file):
            with Bundle.open(source, trust=ANY_BUNDLE) as bundle:
                assert bundle.path is None
                assert bundle.digest == expected.digest
                assert bundle.read("card.md") == expected.read("card.md")
                assert bundle.read("models/int8.onnx") == expected.read("models/int8.onnx")
                assert "in memory" in repr(bundle)


def test_the_callers_file_stays_open_and_its_bytes_are_a_copy(bundle_zip: Path) -> None:
    file = io.BytesIO(bundle_zip.read_bytes())
    bundle = Bundle.open(file, trust=ANY_BUNDLE)
    bundle.close()
    assert not file.closed
    with pytest.raises(IntegrityError, match="in memory"):
        bundle.read("models/int8.onnx")
    content = bytearray(bundle_zip.read_bytes())
    with Bundle.open(content, trust=ANY_BUNDLE) as opened:
        content[:] = bytes(len(content))
        assert opened.read("models/int8.onnx").startswith(b"eight bits")


def test_damage_in_memory_is_refused_by_name(bundle_zip: Path) -> None:
    content = bundle_zip.read_bytes()
    at = content.index(b"eight bits")
    with pytest.raises(IntegrityError, match=r"bundle 'in memory' .*models/int8\.onnx"):
        Bundle.open(content[:at] + b"E" + content[at + 1 :], trust=ANY_BUNDLE)
    for cut in (b"", content[:-1], content[: len(content) // 2]):
        with pytest.raises(IntegrityError, match="in memory"):
            Bundle.open(cut, trust=ANY_BUNDLE)


class Pipe(io.BytesIO):
    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (Pipe(b"PK"), "cannot seek"),
        (io.StringIO("PK"), "of type StringIO"),
        (7, "of type int"),
        (None, "of type NoneType"),
    ],
)
def test_other_sources_are_refused(source: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Bundle.open(cast("BinaryIO", source), trust=ANY_BUNDLE)


def test_nothing_is_prepared_or_cached(tiny_bundle: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with Bundle.open(tiny_bundle.read_bytes(), trust=ANY_BUNDLE) as bundle:
        with pytest.raises(UsageError, match="has no cache"):
            list(prepare_bundle(bundle, cache, threads=1))
        if installed_engines():
            with pytest.raises(UsageError, match="has no cache"):
                Predictor.open(bundle, cache=cache)
    assert not cache.exists()


# A process that may write no byte to any file; one that tries is killed, whoever wrote it.
CONFINED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
from realmnet_runtime import Predictor, Trust
content = sys.stdin.buffer.read()
trust = Trust(unsigned="allow")
with Predictor.open(content, variant=sys.argv[1], threads=1, trust=trust) as predictor:
    prediction = predictor.predict(sys.argv[2])
    print(predictor.facts.prepared, predictor.loaded_how)
    print(*prediction.probabilities.values())
"""


@pytest.fixture(scope="module")
def ir_bundle(
    tiny_irs: dict[str, Ir], tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    with Bundle.open(tiny_bundle, trust=ANY_BUNDLE) as source:
        said = source.manifest
    point = said.variants[0].operating_point
    files = {"models/a.xml": tiny_irs["fp32"].content, "models/a.bin": tiny_irs["fp32"].weights}
    variant = Variant(
        "openvino-ir", "openvino", "fp32", "fp32", "models/a.xml", point, "2025.0",
        weights="models/a.bin",
    )  # fmt: skip
    return write_bundle(
        tmp_path_factory.mktemp("ir") / "ir.realmnet",
        files=files,
        model=said.model,
        labels=said.labels,
        preprocess=said.preprocess,
        provenance=said.provenance,
        variants=[variant],
    )


@pytest.mark.skipif(os.name != "posix", reason="the limit on files is of POSIX systems")
@pytest.mark.parametrize("variant", ["onnxruntime-fp32", "openvino-int8", "openvino-ir"])
def test_predicting_writes_no_byte_anywhere(
    variant: str, request: pytest.FixtureRequest, eye_png: bytes, tmp_path: Path
) -> None:
    if variant.partition("-")[0] not in installed_engines():
        pytest.skip("the engine is not installed")
    bundle: Path = request.getfixturevalue("ir_bundle" if "ir" in variant else "tiny_bundle")
    watched = tmp_path / "watched"
    watched.mkdir()
    picture = tmp_path / "eye.png"
    picture.write_bytes(eye_png)
    places = ("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    environment: dict[str, Any] = {
        **os.environ,
        **dict.fromkeys(places, str(watched)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", CONFINED, variant, str(picture)],
        input=bundle.read_bytes(),
        capture_output=True,
        check=False,
        cwd=watched,
        env=environment,
    )
    assert done.returncode == 0, done.stderr.decode()
    how, answer = done.stdout.decode().splitlines()
    assert how == "False compiled now: a bundle in memory keeps nothing on the disk"
    assert list(watched.rglob("*")) == []
    with Predictor.open(
        bundle, variant=variant, threads=1, cache=tmp_path / "none", trust=ANY_BUNDLE
    ) as predictor:
        expected = predictor.predict(picture).probabilities.values()
    assert list(map(float, answer.split())) == pytest.approx(list(expected), abs=1e-5)
