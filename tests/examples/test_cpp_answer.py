"""The C++ example against the Python runtime: golden tensors, then decoded pixels."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from realmnet_benchmarks import DEMONSTRATION_BUNDLE
from realmnet_benchmarks.phantoms import draw_population, render
from realmnet_compression.embedding.single_file import embed_variant
from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.writer import write_bundle
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.signatures.trust import ANY_BUNDLE

from .conftest import run, write_ppm

VARIANTS = ("openvino-int8", "openvino-fp32")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The demonstration bundle as a directory."""
    folder = tmp_path_factory.mktemp("bundle")
    with zipfile.ZipFile(DEMONSTRATION_BUNDLE) as archive:
        archive.extractall(folder)
    return Bundle.open(folder, trust=ANY_BUNDLE)


@pytest.fixture(scope="module", params=VARIANTS)
def python(request: pytest.FixtureRequest, bundle: Bundle) -> Predictor:
    return Predictor.open(bundle, engine="openvino", variant=request.param, threads=1)


def golden_pictures(bundle: Bundle) -> list[NDArray[np.uint8]]:
    return [read_image(bundle.read(case.image)) for case in bundle.manifest.golden]


def parse(lines: str, labels: int) -> list[tuple[dict[str, float], tuple[str, ...]]]:
    """Probabilities and findings of each file the example answered."""
    rows = [line.split() for line in lines.splitlines()]
    return [
        (
            {name: float(probability) for name, probability, _, _ in part},
            tuple(name for name, _, _, found in part if found == "1"),
        )
        for part in (rows[start : start + labels] for start in range(0, len(rows), labels))
    ]


def test_golden_tensors(answer: Path, python: Predictor, tmp_path: Path) -> None:
    expected, files = [], []
    for number, picture in enumerate(golden_pictures(python.bundle)):
        prediction, tensor = python.predict_with_input(picture)
        expected.append(prediction)
        files.append(tmp_path / f"{number}.f32")
        tensor.astype("<f4").tofile(files[-1])
    lines = run(answer, "tensor", python.bundle.path, python.variant.name, *files)
    for known, (found, findings) in zip(expected, parse(lines, 7), strict=True):
        assert list(found) == list(known.probabilities)
        for label, probability in known.probabilities.items():
            assert abs(found[label] - probability) <= 1e-4
        assert findings == known.findings


def test_decoded_pixels(answer: Path, python: Predictor, tmp_path: Path) -> None:
    single = tmp_path / "single.onnx"
    single.write_bytes(embed_variant(python.bundle, python.variant).SerializeToString())
    pictures = golden_pictures(python.bundle)[:1]
    cases = draw_population(6, seed=11, images_per_patient=2)
    for border in ("black", "device"):
        drawn = [case for case in cases if case.border == border][:3]
        for case, size in zip(drawn, [(300, 381), (480, 384), (200, 250)], strict=True):
            pictures.append(render(case, *size).image)
    files = [write_ppm(tmp_path / f"{n}.ppm", picture) for n, picture in enumerate(pictures)]
    answers = parse(run(answer, "picture", single, *files), 7)
    for picture, (found, findings) in zip(pictures, answers, strict=True):
        known = python.predict(picture)
        assert findings == known.findings
        for label, probability in known.probabilities.items():
            assert abs(found[label] - probability) <= 2e-3


@pytest.mark.parametrize("deborder", ["crop+mask", "off"])
def test_other_ways_to_treat_the_border(
    deborder: Literal["crop+mask", "off"], answer: Path, bundle: Bundle, tmp_path: Path
) -> None:
    manifest, variant = bundle.manifest, bundle.variant("openvino-int8")
    other = write_bundle(
        tmp_path / "other.realmnet",
        files={variant.artifact: bundle.read(variant.artifact)},
        model=manifest.model,
        labels=manifest.labels,
        preprocess=msgspec.structs.replace(manifest.preprocess, deborder=deborder),
        variants=(variant,),
        golden=(),
        provenance=manifest.provenance,
    )
    picture, single = golden_pictures(bundle)[1], tmp_path / "single.onnx"
    with (
        Bundle.open(other, trust=ANY_BUNDLE) as opened,
        Predictor.open(opened, threads=1) as python,
    ):
        known = python.predict(picture)
        single.write_bytes(embed_variant(opened, variant).SerializeToString())
    lines = run(answer, "picture", single, write_ppm(tmp_path / "picture.ppm", picture))
    ((found, findings),) = parse(lines, 7)
    assert findings == known.findings
    for label, probability in known.probabilities.items():
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
