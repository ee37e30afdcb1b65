"""A bundle's variant as one file: the same decisions, and every way to be refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from realmnet_benchmarks import DEMONSTRATION_BUNDLE
from realmnet_benchmarks.phantoms import draw_population, render
from realmnet_compression.embedding.run import open_single_file
from realmnet_compression.embedding.single_file import embed_variant, read_facts
from realmnet_compression.embedding.write import write_single_file
from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.aperture.field_of_view import find_field_of_view
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import Model, OperatingPoint, Provenance, Variant
from realmnet_runtime.bundles.writer import write_bundle
from realmnet_runtime.cli import main
from realmnet_runtime.errors import ConfigurationError, GateFailed, IncompatibleError
from realmnet_runtime.labels import PSMM
from realmnet_runtime.pictures.images import read_image
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_runtime.signatures.trust import ANY_BUNDLE

POINT = OperatingPoint(
    temperatures={name: 0.5 + 0.1 * index for index, name in enumerate(PSMM.names)},
    thresholds={name: 0.3 + 0.05 * index for index, name in enumerate(PSMM.names)},
    fitted_on="nothing: a test",
)


def variant_of(name: str, engine: str, artifact: str, weights: str = "") -> Variant:
    return Variant(
        name=name,
        engine=engine,  # type: ignore[arg-type]
        precision="fp32",
        execution_precision="fp32",
        artifact=artifact,
        operating_point=POINT,
        oldest_engine="1.0",
        weights=weights,
    )


def bundle_of(
    path: Path, files: dict[str, bytes], *variants: Variant, spec: PreprocessSpec | None = None
) -> Path:
    return write_bundle(
        path,
        files=files,
        model=Model("small", "1", "a test", 1000, "A test model: says nothing."),
        labels=PSMM,
        preprocess=spec or PreprocessSpec(size=32),
        variants=variants,
        golden=(),
        provenance=Provenance(
            created="2026-01-01",
            trained_on="nothing",
            command="pytest",
            toolkit_version="0",
            checkpoint_sha256="0" * 64,
            data_sha256={},
            software={},
        ),
    )


@pytest.fixture(scope="module")
def small_bundle(small_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    files = {"a.onnx": small_file.read_bytes(), "a.xml": b"<net/>", "a.bin": b"0"}
    return bundle_of(
        tmp_path_factory.mktemp("embedding") / "small.realmnet",
        files,
        variant_of("ort", "onnxruntime", "a.onnx"),
        variant_of("ov", "openvino", "a.onnx"),
        variant_of("ir", "openvino", "a.xml", "a.bin"),
    )


@pytest.mark.parametrize("name", ["openvino-int8", "onnxruntime-int8", "onnxruntime-fp32"])
def test_phantoms_are_answered_as_the_runtime_answers_them(name: str) -> None:
    with (
        Bundle.open(DEMONSTRATION_BUNDLE) as bundle,
        Predictor.open(
            bundle, engine=bundle.variant(name).engine, variant=name, threads=1
        ) as runtime,
    ):
        variant = bundle.variant(name)
        content = embed_variant(bundle, variant).SerializeToString()
        answer = open_single_file(content, variant.engine, variant.execution_precision)
        pictures = [read_image(bundle.read(case.image)) for case in bundle.manifest.golden]
        cases = draw_population(2, seed=5, images_per_patient=2)
        sizes = [(300, 381), (480, 384), (200, 250), (448, 450)]
        for case, (height, width) in zip(cases, sizes, strict=False):
            pictures.append(render(case, height, width).image)
        for picture in pictures:
            expected = runtime.predict(picture)
            probabilities, maps = answer(picture, find_field_of_view(picture))
            thresholds = np.array(list(expected.thresholds.values()))
            found = np.array(list(expected.probabilities))[probabilities >= thresholds]
            assert tuple(found) == expected.findings
            distance = np.abs(probabilities - list(expected.probabilities.values()))
            assert distance.max() <= 2e-3
            np.testing.assert_allclose(maps, expected.score_maps, atol=1e-3)


@pytest.mark.parametrize("name", ["ort", "ov"])
def test_the_command_writes_a_file_that_says_what_it_is(
    name: str, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "single.onnx"
    words = ["bundle", "to-onnx", str(small_bundle), "--variant", name, "--out", str(out)]

    assert main([*words, "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    model = onnx.load(out)
    facts = read_facts(model)
    with Bundle.open(small_bundle, trust=ANY_BUNDLE) as bundle:
        assert facts.bundle_sha256 == report["bundle_sha256"] == bundle.digest
    assert report["bytes"] == out.stat().st_size
    assert report["largest_difference"] <= 1e-5
    assert facts.labels == PSMM.names
    assert facts.thresholds == tuple(POINT.thresholds[label] for label in PSMM.names)
    assert facts.exclusive_groups == PSMM.exclusive_groups
    assert (facts.size, facts.smallest_side, facts.variant) == (32, 4, name)
    assert facts.notice == "A test model: says nothing."
    assert {entry.version for entry in model.opset_import} == {18}
    assert [entry.name for entry in model.graph.input] == ["image", "box"]
    assert [entry.name for entry in model.graph.output] == ["probabilities", "score_maps"]

    assert main(words) == 0
    assert "bytes, within" in capsys.readouterr().out


def test_the_same_bundle_gives_the_same_bytes(small_bundle: Path) -> None:
    with Bundle.open(small_bundle, trust=ANY_BUNDLE) as bundle:
        first, second = (
            embed_variant(bundle, bundle.variant("ort")).SerializeToString(deterministic=True)
            for _ in range(2)
        )
    assert first == second


def test_a_variant_in_two_files_is_refused(small_bundle: Path, tmp_path: Path) -> None:
    with (
        Bundle.open(small_bundle, trust=ANY_BUNDLE) as bundle,
        pytest.raises(ConfigurationError, match=r"'ir' runs 'a.xml'.*choose ort or ov"),
    ):
        write_single_file(bundle, "ir", tmp_path / "single.onnx")


def test_a_file_that_answers_otherwise_is_not_written(small_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "single.onnx"
    out.write_bytes(b"what was there")
    with (
        Bundle.open(small_bundle, trust=ANY_BUNDLE) as bundle,
        pytest.raises(GateFailed, match="nothing was written"),
    ):
        write_single_file(bundle, "ort", out, tolerance=-1.0)
    assert out.read_bytes() == b"what was there"


def test_a_manifest_of_another_size_is_refused(small_file: Path, tmp_path: Path) -> None:
    path = bundle_of(
        tmp_path / "other.realmnet",
        {"a.onnx": small_file.read_bytes()},
        variant_of("ort", "onnxruntime", "a.onnx"),
        spec=PreprocessSpec(size=64),
    )
    with (
        Bundle.open(path, trust=ANY_BUNDLE) as bundle,
        pytest.raises(ConfigurationError, match=r"takes 32 px and answers 7 labels.*64 px"),
    ):
        embed_variant(bundle, bundle.variant("ort"))


def test_a_cubic_resize_is_refused(small_file: Path, tmp_path: Path) -> None:
    path = bundle_of(
        tmp_path / "cubic.realmnet",
        {"a.onnx": small_file.read_bytes()},
        variant_of("ort", "onnxruntime", "a.onnx"),
        spec=PreprocessSpec(size=32, resize="cubic"),
    )
    with (
        Bundle.open(path, trust=ANY_BUNDLE) as bundle,
        pytest.raises(ConfigurationError, match="'cubic', which has no exact form"),
    ):
        embed_variant(bundle, bundle.variant("ort"))


def test_operators_that_are_too_old_are_refused(small_file: Path, tmp_path: Path) -> None:
    model = onnx.load(small_file)
    model.opset_import[0].version = 16
    path = bundle_of(
        tmp_path / "old.realmnet",
        {"a.onnx": model.SerializeToString()},
        variant_of("ort", "onnxruntime", "a.onnx"),
    )
    with (
        Bundle.open(path, trust=ANY_BUNDLE) as bundle,
        pytest.raises(IncompatibleError, match="opset 16; 17 or newer"),
    ):
        embed_variant(bundle, bundle.variant("ort"))


def test_other_files_have_no_facts(small_file: Path) -> None:
    model = onnx.load(small_file)
    with pytest.raises(ConfigurationError, match="no metadata 'realmnet'"):
        read_facts(model)
    onnx.helper.set_model_props(model, {"realmnet": "{}"})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_facts(model)


def test_other_engines_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'tensorrt' reads no single file"):
        open_single_file(b"", "tensorrt", "fp32")
