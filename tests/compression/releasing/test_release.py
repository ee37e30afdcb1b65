"""From a checkpoint to a bundle that answers, and every way to be refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from realmnet_benchmarks.records import read_psmm
from realmnet_compression.recipe import Recipe, load_recipe
from realmnet_compression.releasing.release import ReleaseReport, release
from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.cli import main
from realmnet_runtime.cpu import INT8_DOT_PRODUCT, has_int8_dot_product
from realmnet_runtime.errors import ConfigurationError, GateFailed, MissingPath, UsageError
from realmnet_runtime.labels import PERIPHERAL
from realmnet_runtime.proof.selftest import run_selftest
from realmnet_runtime.quality.site import fit_site
from realmnet_runtime.quality.site_pictures import site_pictures
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_training.checkpoint import (
    architecture_of,
    load_checkpoint,
    save_checkpoint,
)
from realmnet_training.model import RealMNet

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not has_int8_dot_product(), reason="a release needs a CPU with INT8 dot products"
    ),
]

RECIPE = """
name = "tiny"
version = "0"
notice = "a test"
trained_on = "synthetic phantoms"
measured_on = "synthetic phantoms"
command = "none"
check_pictures = 24
threads = 1
[calibration]
pictures = 24
at_least = 2
[quantisation]
most_flips = 0.5
threads = 1
[limits]
flips = 0.5
ap_loss = 0.5
bundle_bytes = 8_000_000
[golden]
cases = 2
candidates = 8
height = 128
tolerance_int8 = 0.002
tolerance_fp32 = 0.002
[[variants]]
name = "openvino-int8"
engine = "openvino"
execution = "int8"
oldest_engine = "2025.0"
[[variants]]
name = "onnxruntime-int8"
engine = "onnxruntime"
execution = "int8"
oldest_engine = "1.20"
[[variants]]
name = "onnxruntime-fp32"
engine = "onnxruntime"
execution = "fp32"
oldest_engine = "1.20"
"""


@pytest.fixture(scope="module")
def workplace(release_folder: Path) -> Path:
    """The shared folder with phantoms and a checkpoint, and a recipe."""
    (release_folder / "recipe.toml").write_text(RECIPE)
    return release_folder


@pytest.fixture(scope="module")
def released(workplace: Path) -> ReleaseReport:
    return make(workplace, recipe_of(workplace), workplace / "made.realmnet")


def recipe_of(workplace: Path) -> Recipe:
    return load_recipe(str(workplace / "recipe.toml"))


def make(workplace: Path, recipe: Recipe, out: Path, checkpoint: str = "") -> ReleaseReport:
    return release(
        recipe,
        workplace / (checkpoint or "checkpoint.safetensors"),
        workplace / "data",
        out,
        cache=workplace / "cache",
    )


def test_bundle_says_what_it_is(workplace: Path, released: ReleaseReport) -> None:
    with Bundle.open(released.bundle, trust=ANY_BUNDLE) as bundle:
        manifest = bundle.manifest
        assert bundle.digest == released.bundle_sha256
    assert Path(released.bundle).stat().st_size == released.bytes
    assert manifest.model.notice == "a test"
    assert manifest.model.parameters == sum(
        p.numel() for p in load_checkpoint(workplace / "checkpoint.safetensors")[0].parameters()
    )
    assert len({variant.artifact for variant in manifest.variants}) == 1
    for variant in manifest.variants:
        wanted = INT8_DOT_PRODUCT if variant.execution_precision == "int8" else frozenset()
        assert set(variant.cpu_requires) == wanted
        assert variant.operating_point.fitted_on.startswith("val, 64 pictures of 32 patients")
    records = read_psmm(workplace / "data")
    assert manifest.provenance.data_sha256 == {
        name: records[name].digest for name in ("train", "val", "test")
    }
    assert len({case.name for case in manifest.golden}) == 2


def test_evidence_has_every_variant_and_the_reference(released: ReleaseReport) -> None:
    with Bundle.open(released.bundle, trust=ANY_BUNDLE) as bundle:
        manifest = bundle.manifest
    measured = {entry.variant: entry for entry in manifest.evidence}

    assert set(measured) == {"fp32-reference", *(v.name for v in manifest.variants)}
    for entry in measured.values():
        assert (entry.dataset, entry.images) == ("test", 48)
        found = released.average_precision["test"][entry.variant]
        assert entry.metrics["ap_macro"] == pytest.approx(found)
    assert "flips_per_thousand" not in measured["fp32-reference"].metrics
    pairs = {(parity.variant, parity.reference) for parity in released.parity["test"]}
    assert ("onnxruntime-int8", "openvino-int8") in pairs


@pytest.mark.parametrize("variant", ["openvino-int8", "onnxruntime-int8", "onnxruntime-fp32"])
def test_every_variant_passes_its_self_test(released: ReleaseReport, variant: str) -> None:
    with Predictor.open(released.bundle, variant=variant, threads=1, trust=ANY_BUNDLE) as predictor:
        report = run_selftest(predictor)

    assert report.cases == 2
    assert report.failures == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flips": 0.0}, "label decisions differ"),
        ({"reference_ap": (0.999, 1.0)}, "train longer"),
        ({"reference_ap": (0.0, 0.001)}, "harden the pictures"),
        ({"bundle_bytes": 1000}, "1,000 are allowed"),
    ],
)
def test_a_limit_that_fails_leaves_the_old_bundle(
    workplace: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    recipe = recipe_of(workplace)
    limits = msgspec.structs.replace(recipe.limits, **change)
    out = tmp_path / "old.realmnet"
    out.write_bytes(b"the old one")

    with pytest.raises(GateFailed, match=message):
        make(workplace, msgspec.structs.replace(recipe, limits=limits), out)

    assert out.read_bytes() == b"the old one"
    assert list(tmp_path.iterdir()) == [out]


def test_limits_of_quality_are_fitted_where_the_recipe_says_so(
    workplace: Path, many_pictures: Path, tmp_path: Path
) -> None:
    recipe = msgspec.structs.replace(recipe_of(workplace), quality="fitted")
    recipe = msgspec.structs.replace(
        recipe, golden=msgspec.structs.replace(recipe.golden, cases=1), variants=recipe.variants[1:]
    )
    checkpoint = workplace / "checkpoint.safetensors"

    report = release(recipe, checkpoint, many_pictures, tmp_path / "fitted.realmnet")

    assert report.quality is not None
    opened = Predictor.open(report.bundle, variant="onnxruntime-int8", threads=1, trust=ANY_BUNDLE)
    with opened as predictor:
        fitted = predictor.manifest.quality
        site = fit_site(predictor, site_pictures(many_pictures, "val"))
    assert fitted is not None
    assert fitted.limits == site.gate.limits == report.quality.limits
    assert fitted.fitted_on.pictures_sha256 == site.gate.fitted_on.pictures_sha256
    assert [table.variant for table in fitted.score_maps] == [
        "onnxruntime-int8",
        "onnxruntime-fp32",
    ]
    assert fitted.score_maps[0].most_distance == pytest.approx(
        site.gate.score_maps[0].most_distance, rel=1e-4
    )


def test_too_few_pictures_to_fit_limits_on_are_refused_before_any_work(workplace: Path) -> None:
    recipe = msgspec.structs.replace(recipe_of(workplace), quality="fitted")

    with pytest.raises(UsageError, match=r"needs 100 pictures; table 'val' has 64"):
        make(workplace, recipe, workplace / "x.realmnet")


def changed_checkpoint(workplace: Path, name: str, **changes: object) -> str:
    model, facts = load_checkpoint(workplace / "checkpoint.safetensors")
    if "label_set" in changes:
        model = RealMNet("5m", 64, labels=5)
        changes["architecture"] = architecture_of(model)
        changes["operating_point"] = None
    save_checkpoint(workplace / name, model, msgspec.structs.replace(facts, **changes))
    return name


def test_a_checkpoint_with_other_labels_is_refused(workplace: Path) -> None:
    name = changed_checkpoint(workplace, "peripheral.safetensors", label_set=PERIPHERAL)

    with pytest.raises(ConfigurationError, match=r"'peripheral'.*releases 'psmm'"):
        make(workplace, recipe_of(workplace), workplace / "x.realmnet", name)


def test_an_unfinished_checkpoint_is_refused(workplace: Path) -> None:
    name = changed_checkpoint(workplace, "unfinished.safetensors", finished=False)

    with pytest.raises(ConfigurationError, match="train --resume"):
        make(workplace, recipe_of(workplace), workplace / "x.realmnet", name)


def test_a_missing_checkpoint_and_a_wrong_name_are_refused(workplace: Path) -> None:
    with pytest.raises(MissingPath, match="no checkpoint"):
        make(workplace, recipe_of(workplace), workplace / "x.realmnet", "absent")
    with pytest.raises(UsageError, match=r"\*\.realmnet"):
        make(workplace, recipe_of(workplace), workplace / "x.zip")


def test_a_test_table_cannot_tune(workplace: Path) -> None:
    recipe = msgspec.structs.replace(recipe_of(workplace), development="test", evidence=("val",))

    with pytest.raises(UsageError, match="may not calibrate or tune"):
        make(workplace, recipe, workplace / "x.realmnet")


def test_commands_from_checkpoint_to_verified_bundle(
    workplace: Path, released: ReleaseReport, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, data = str(workplace / "checkpoint.safetensors"), str(workplace / "data")
    fp32, int8, half = (str(tmp_path / f"{name}.onnx") for name in ("fp32", "int8", "fp16"))
    common = ["--checkpoint", checkpoint, "--data", data, "--cache", str(workplace / "cache")]
    recipe = ["--recipe", str(workplace / "recipe.toml")]

    assert main(["export", checkpoint, "-o", fp32]) == 0
    assert main(["export", checkpoint, "-o", half, "--precision", "fp16"]) == 0
    assert main(["export", checkpoint, "-o", half, "--precision", "fp15"]) == 2
    assert 0.5 < Path(half).stat().st_size / Path(fp32).stat().st_size < 0.52
    assert main(["quantise", fp32, *common, *recipe, "-o", int8]) == 0
    assert main(["bundle", "verify", released.bundle]) == 0
    capsys.readouterr()
    assert main(["bundle", "inspect", released.bundle]) == 0
    with Bundle.open(released.bundle, trust=ANY_BUNDLE) as bundle:
        assert capsys.readouterr().out == bundle.raw_manifest.decode()
        released_file = bundle.read("models/realmnet-int8.onnx")
    assert Path(int8).read_bytes() == released_file

    assert main(["quantise", fp32, *common, *recipe, "-o", int8, "--split", "test"]) == 2
    assert main(["quantise", int8, *common, *recipe, "-o", int8]) == 2
    assert main(["release", "demonstation", *common, "-o", str(tmp_path / "x.realmnet")]) == 2
    assert main(["bundle", "verify", str(tmp_path / "absent.realmnet")]) == 2
