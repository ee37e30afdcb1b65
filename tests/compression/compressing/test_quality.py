"""A recipe that fits the limits of quality: as `realmnet fit-gate` does, and when it refuses."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import pytest

from realmnet_benchmarks.intake.prepared_set import READING_SPEC_FILE
from realmnet_benchmarks.records import read_psmm
from realmnet_compression.answers import RawAnswers
from realmnet_compression.compressing.bundle import BundleReport, read_bundle_report
from realmnet_compression.compressing.recipe import CompressionRecipe, load_compression
from realmnet_compression.compressing.run import CompressionReport, compress
from realmnet_compression.releasing.quality_fit import measure_development, require_raw
from realmnet_runtime.answering.predictor import Predictor
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.manifest import Manifest, encode_manifest
from realmnet_runtime.errors import ConfigurationError, MissingPath, UsageError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_runtime.quality.site import SiteReport, fit_site
from realmnet_runtime.quality.site_pictures import site_pictures
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_training.pictures.prepared import prepare_split

from .conftest import run

pytestmark = pytest.mark.slow

VARIANTS = ("onnxruntime-fp32", "openvino-fp32")
VARIANT = '[[steps.variants]]\nname = "{0}-fp32"\nengine = "{0}"\nexecution = "fp32"\n'
VARIANT += 'oldest_engine = "1.20"\n'
RECIPE = f"""
name = "fitted"
version = "0"
notice = "a test"
trained_on = "synthetic phantoms"
threads = 1
latency = {{ rounds = 3, warm_up = 1 }}
[[steps]]
type = "export"
{VARIANT.format("onnxruntime")}
{VARIANT.format("openvino")}
[[steps]]
type = "gate"
replicates = 10
margins = {{ ap = 0.9, auroc = 0.9, f1 = 0.9 }}
[[steps]]
type = "bundle"
quality = "fitted"
golden = {{ cases = 1, candidates = 6, height = 128, tolerance_fp32 = 0.002 }}
"""


@dataclass(frozen=True)
class Done:
    """One compression, and what `fit-gate` makes of its bundle on the same pictures."""

    home: Path
    data: Path
    recipe: CompressionRecipe
    out: Path
    report: CompressionReport
    sites: dict[str, SiteReport]

    @property
    def manifest(self) -> Manifest:
        assert self.report.bundle is not None
        with Bundle.open(self.report.bundle, trust=ANY_BUNDLE) as bundle:
            return bundle.manifest

    @property
    def said(self) -> BundleReport:
        return read_bundle_report(self.out / "03-bundle")

    def again(self, recipe: CompressionRecipe, out: Path, data: Path) -> CompressionReport:
        checkpoint = self.home / "checkpoint.safetensors"
        return compress(recipe, checkpoint, data, out, cache=out / "cache", tell=lambda _: None)


@pytest.fixture(scope="module")
def done(
    release_folder: Path, many_pictures: Path, tmp_path_factory: pytest.TempPathFactory
) -> Done:
    home = tmp_path_factory.mktemp("fitted")
    (home / "recipe.toml").write_text(RECIPE)
    recipe, out = load_compression(str(home / "recipe.toml")), home / "out"
    checkpoint = release_folder / "checkpoint.safetensors"
    report = compress(recipe, checkpoint, many_pictures, out, tell=lambda _: None)
    assert report.bundle is not None
    sites = {}
    for variant in VARIANTS:
        with Predictor.open(
            report.bundle, variant=variant, threads=1, trust=ANY_BUNDLE
        ) as predictor:
            sites[variant] = fit_site(predictor, site_pictures(many_pictures, "val"))
    return Done(release_folder, many_pictures, recipe, out, report, sites)


def test_the_bundle_carries_what_fit_gate_gives(done: Done) -> None:
    quality = done.manifest.quality

    assert quality is not None
    assert [table.variant for table in quality.score_maps] == list(VARIANTS)
    for table in quality.score_maps:
        gate = done.sites[table.variant].gate
        assert quality.limits == gate.limits
        assert quality.fitted_on.pictures == gate.fitted_on.pictures
        assert quality.fitted_on.left_out == gate.fitted_on.left_out
        assert quality.fitted_on.pictures_sha256 == gate.fitted_on.pictures_sha256
        (expected,) = gate.score_maps
        assert table.most_distance == pytest.approx(expected.most_distance, rel=1e-4)
        np.testing.assert_allclose(table.centre, expected.centre, rtol=1e-4, atol=1e-6)


def test_the_limits_name_the_same_bundle_without_them(done: Done) -> None:
    manifest = done.manifest

    assert manifest.quality is not None
    before = encode_manifest(msgspec.structs.replace(manifest, quality=None))
    assert manifest.quality.fitted_on.bundle_sha256 == sha256_of(before)
    assert {path.name for path in (done.out / "03-bundle").iterdir()} == {
        "fitted.realmnet",
        "bundle.json",
        "step.json",
    }


def test_the_report_counts_the_pictures_beyond_each_limit(done: Done) -> None:
    fit = done.said.quality

    assert fit is not None
    assert fit.pictures + sum(fit.left_out.values()) == 106
    assert set(fit.beyond) == set(fit.beyond_default) == set(fit.limits.__struct_fields__)
    for variant, site in done.sites.items():
        refused = site.refused_after
        assert fit.far[variant] == refused.get("far_from_training", 0)
        assert fit.most_map_distance[variant] > 0
        for limit, kind in (
            ("least_aperture_share", "aperture_too_small"),
            ("least_light", "too_dark"),
            ("most_burnt", "burnt"),
            ("least_sharpness", "blurred"),
        ):
            assert fit.beyond[limit] == refused.get(kind, 0)
    readme = (done.out / "README.md").read_text()
    assert f"fitted on {fit.pictures} raw pictures of table val" in readme
    assert f"least light {fit.beyond['least_light']}" in readme


def test_no_name_of_a_picture_is_kept(done: Done) -> None:
    files = read_psmm(done.data)["val"].files
    written = (done.out / "03-bundle" / "bundle.json").read_text()
    written += (done.out / "README.md").read_text() + encode_manifest(done.manifest).decode()

    assert not [file for file in files if file in written]


def test_a_raw_file_that_changed_is_measured_anew_though_it_is_prepared_alike(
    done: Done, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(done.data, tmp_path / "data"))
    out = Path(shutil.copytree(done.out, tmp_path / "out"))
    kept = done.again(done.recipe, out, data)
    path = read_psmm(data)["val"].paths[0]
    path.write_bytes(path.read_bytes() + b"\0")

    changed = done.again(done.recipe, out, data)

    assert kept.made == ()
    assert changed.made == ("bundle",)
    assert changed.bundle_sha256 != done.report.bundle_sha256


def test_default_limits_are_left_where_the_recipe_says_so(done: Done, tmp_path: Path) -> None:
    *others, last = done.recipe.steps
    steps = (*others, msgspec.structs.replace(last, quality="default"))
    out = Path(shutil.copytree(done.out, tmp_path / "out"))

    plain = done.again(msgspec.structs.replace(done.recipe, steps=steps), out, done.data)

    assert plain.made == ("bundle",)
    assert plain.bundle is not None
    with Bundle.open(plain.bundle, trust=ANY_BUNDLE) as bundle:
        assert bundle.manifest.quality is None
    assert "Limits of quality: the runtime's own, as the recipe says." in (
        (out / "README.md").read_text()
    )


def test_too_few_pictures_are_refused_before_any_step(done: Done, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs 100 pictures; table 'val' has 64.*\"default\""):
        run(done.home, done.recipe, tmp_path / "out")
    assert not (tmp_path / "out" / "recipe.json").exists()


def test_prepared_pictures_are_no_raw_ones(done: Done, tmp_path: Path) -> None:
    data = Path(shutil.copytree(done.data, tmp_path / "data"))
    split = read_psmm(data)["val"]
    prepared = prepare_split(split, PreprocessSpec(size=64), done.out / "cache", 1)

    require_raw(prepared, PreprocessSpec(size=64))
    with pytest.raises(UsageError, match="border taken away before"):
        require_raw(prepared, PreprocessSpec(size=64, deborder="off"))
    (split.images.parent / READING_SPEC_FILE).write_text("{}")
    with pytest.raises(UsageError, match="border taken away before"):
        require_raw(prepared, PreprocessSpec(size=64))


def test_pictures_that_are_not_those_answered_are_refused_without_a_name(
    done: Done, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(done.data, tmp_path / "data"))
    spec, whole = PreprocessSpec(size=64), read_psmm(data)["val"]
    split = whole.select(range(3))
    prepared = prepare_split(split, spec, tmp_path / "cache", 1)
    answers = {"x": RawAnswers(np.zeros((3, 7), np.float32), np.zeros((3, 7, 4, 4), np.float32))}
    assert len(measure_development(split, prepared, spec, answers).rows) == 3

    for content in (whole.paths[9].read_bytes(), b"no picture"):
        split.paths[1].write_bytes(content)
        with pytest.raises(ConfigurationError, match="line 3: its picture is not the one") as said:
            measure_development(split, prepared, spec, answers)
        assert split.files[1] not in str(said.value)
    split.paths[1].unlink()
    with pytest.raises(MissingPath, match=r"line 3: its picture is gone.*\"default\"") as gone:
        measure_development(split, prepared, spec, answers)
    assert split.files[1] not in str(gone.value)
