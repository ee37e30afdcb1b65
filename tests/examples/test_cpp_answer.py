"""The C++ example against the Python runtime: golden tensors, then decoded pixels."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_benchmarks import DEMONSTRATION_BUNDLE
from realmnet_benchmarks.phantoms import draw_population, render
from realmnet_compression.embedding.single_file import embed_variant
from realmnet_runtime.bundle import Bundle
from realmnet_runtime.images import read_image
from realmnet_runtime.predictor import Predictor

from .conftest import run, write_ppm

VARIANTS = ("openvino-int8", "openvino-fp32")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The demonstration bundle as a directory."""
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(DEMONSTRATION_BUNDLE) as archive:
        archive.extractall(folder)
    return Bundle.open(folder)


@pytest.fixture(scope="module", params=VARIANTS)
def python(request: pytest.FixtureRequest, bundle: Bundle) -> Predictor:
    return Predictor.open(bundle, engine="openvino", variant=request.param, threads=1)


def golden_pictures(bundle: Bundle) -> list[NDArray[np.uint8]]:
    return [read_image(bundle.read(case.image)) for case in bundle.manifest.golden]


def parse(lines: str) -> tuple[dict[str, float], tuple[str, ...]]:
    """Probabilities and findings of the example's lines."""
    rows = [line.split() for line in lines.splitlines()]
    return (
        {name: float(probability) for name, probability, _, _ in rows},
        tuple(name for name, _, _, found in rows if found == "1"),
    )


def test_golden_tensors(answer: Path, python: Predictor, tmp_path: Path) -> None:
    name, folder = python.variant.name, python.bundle.path
    for picture in golden_pictures(python.bundle):
        expected, tensor = python.predict_with_input(picture)
        tensor.astype("<f4").tofile(tmp_path / "tensor.f32")
        found, findings = parse(run(answer, "tensor", folder, name, tmp_path / "tensor.f32"))
        assert list(found) == list(expected.probabilities)
        for label, probability in expected.probabilities.items():
            assert abs(found[label] - probability) <= 1e-4
        assert findings == expected.findings


def test_decoded_pixels(answer: Path, python: Predictor, tmp_path: Path) -> None:
    single = tmp_path / "single.onnx"
    single.write_bytes(embed_variant(python.bundle, python.variant).SerializeToString())
    pictures = golden_pictures(python.bundle)[:1]
    cases = draw_population(2, seed=5, images_per_patient=2)
    assert {case.border for case in cases} == {"black", "device"}
    for case, size in zip(cases, [(300, 381), (480, 384), (448, 450), (200, 250)], strict=True):
        pictures.append(render(case, *size).image)
    for picture in pictures:
        expected = python.predict(picture)
        ppm = write_ppm(tmp_path / "picture.ppm", picture)
        found, findings = parse(run(answer, "picture", single, ppm))
        assert findings == expected.findings
        for label, probability in expected.probabilities.items():
            assert abs(found[label] - probability) <= 2e-3


def test_refusals(answer: Path, bundle: Bundle, tmp_path: Path) -> None:
    single = tmp_path / "single.onnx"
    variant = bundle.variant("openvino-fp32")
    single.write_bytes(embed_variant(bundle, variant).SerializeToString())
    picture = golden_pictures(bundle)[0]
    grey = np.repeat(picture.max(axis=2, keepdims=True), 3, axis=2)
    for image, reason in ((np.zeros_like(picture), "black"), (grey, "grey")):
        ppm = write_ppm(tmp_path / "picture.ppm", image)
        done = subprocess.run(
            [answer, "picture", single, ppm], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (7, "")
        assert reason in done.stderr


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ((), (2, "use `answer tensor")),
        (("tensor", "{bundle}", "absent", "{tensor}"), (1, "no variant 'absent'")),
        (("tensor", "{bundle}", "openvino-int8", "{tensor}"), (1, "holds 5 bytes, not 602112")),
        (("tensor", "{tensor}", "openvino-int8", "{tensor}"), (1, "cannot read")),
    ],
)
def test_mistakes(
    words: tuple[str, ...], outcome: tuple[int, str], answer: Path, bundle: Bundle, tmp_path: Path
) -> None:
    (tmp_path / "tensor.f32").write_bytes(b"short")
    places = {"bundle": bundle.path, "tensor": tmp_path / "tensor.f32"}
    done = subprocess.run(
        [answer, *(word.format(**places) for word in words)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == outcome[0]
    assert outcome[1] in done.stderr
