"""A recipe run to its bundle: broken off, resumed, repeated, spoilt, changed, refused."""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
import typer
from typer.testing import CliRunner

from realmnet_benchmarks.records import read_psmm
from realmnet_compression.compressing.commands import compress as compress_command
from realmnet_compression.compressing.eager import timm_network
from realmnet_compression.compressing.recipe import CompressionRecipe, load_compression
from realmnet_compression.compressing.run import CompressionReport, compress
from realmnet_compression.compressing.steps import GateStep
from realmnet_compression.compressing.tables import open_tables
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.cpu import has_int8_dot_product
from realmnet_runtime.errors import ConfigurationError, GateFailed, UsageError
from realmnet_runtime.labels import PERIPHERAL
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_training.checkpoint import (
    architecture_of,
    load_checkpoint,
    read_facts,
    save_checkpoint,
)
from realmnet_training.model import RealMNet

from .conftest import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not has_int8_dot_product(), reason="a bundle needs a CPU with INT8 dot products"
    ),
]

VARIANT = """
[[steps.variants]]
name = "{name}"
engine = "{engine}"
execution = "{execution}"
oldest_engine = "1.20"
"""
RECIPE = f"""
name = "tiny"
version = "0"
notice = "a test"
trained_on = "synthetic phantoms"
threads = 1
latency = {{ rounds = 5, warm_up = 1 }}
[[steps]]
type = "export"
name = "fp32"
{VARIANT.format(name="ort-fp32", engine="onnxruntime", execution="fp32")}
[[steps]]
type = "quantise"
name = "int8"
check_pictures = 16
calibration = {{ pictures = 16, at_least = 2 }}
quantisation = {{ most_flips = 0.5, threads = 1 }}
{VARIANT.format(name="ort-int8", engine="onnxruntime", execution="int8")}
{VARIANT.format(name="ort-int8-twin", engine="onnxruntime", execution="int8")}
[[steps]]
type = "gate"
flips = 0.5
rank_correlation = -1.0
peak_shift = 9.0
replicates = 20
[steps.margins]
ap = 0.9
auroc = 0.9
f1 = 0.9
macro = {{ ap = 0.9, auroc = 0.9, f1 = 0.9 }}
rarest = {{ ap = 0.9, auroc = 0.9, f1 = 0.9 }}
[[steps]]
type = "bundle"
[steps.golden]
cases = 1
candidates = 6
height = 128
tolerance_int8 = 0.002
tolerance_fp32 = 0.002
"""


@dataclass(frozen=True)
class Done:
    """One compression, broken off before its second step and resumed."""

    home: Path
    recipe: CompressionRecipe
    out: Path
    left: tuple[str, ...]
    readme: str
    report: CompressionReport
    said: tuple[str, ...]


@pytest.fixture(scope="module")
def recipe(release_folder: Path) -> CompressionRecipe:
    (release_folder / "compress.toml").write_text(RECIPE)
    return load_compression(str(release_folder / "compress.toml"))


@pytest.fixture(scope="module")
def done(release_folder: Path, recipe: CompressionRecipe) -> Done:
    out = release_folder / "compressed"

    def breaks(line: str) -> None:
        if line.startswith("step 2 of 4"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(release_folder, recipe, out, breaks)
    left = tuple(sorted(path.name for path in out.iterdir() if path.is_dir()))
    readme = (out / "README.md").read_text()
    said: list[str] = []
    report = run(release_folder, recipe, out, said.append)
    return Done(release_folder, recipe, out, left, readme, report, tuple(said))


@pytest.fixture
def copied(done: Done, tmp_path: Path) -> Path:
    return Path(shutil.copytree(done.out, tmp_path / "copied"))


def content(path: Path) -> Any:  # noqa: ANN401 - JSON
    return msgspec.json.decode(path.read_bytes())


def test_a_run_that_was_broken_off_goes_on(done: Done) -> None:
    assert done.left == ("01-fp32",)
    assert "| 02-int8 | quantise | not done |" in done.readme
    assert "## Gate" in done.readme
    assert "Not judged yet." in done.readme
    assert done.report.kept == ("fp32",)
    assert done.report.made == ("int8", "gate", "bundle")
    assert done.said[0] == "step 1 of 4, fp32 (export): done before, kept"
    assert not [path for path in done.out.iterdir() if path.name.startswith(".")]


def test_the_folder_explains_itself(done: Done) -> None:
    records = read_psmm(done.home / "data")
    tables = {table["name"]: table for table in content(done.out / "tables.json")}
    figures = {found["variant"]: found for found in content(done.out / "metrics.json")}
    readme = (done.out / "README.md").read_text()

    decoded = msgspec.json.decode((done.out / "recipe.json").read_bytes(), type=CompressionRecipe)
    assert decoded == done.recipe
    assert {"onnxruntime", "torch", "cores"} <= set(content(done.out / "environment.json"))
    assert {name: t["table_sha256"] for name, t in tables.items()} == {
        name: records[name].digest for name in ("val", "test")
    }
    assert set(figures) == {"fp32-reference", "ort-fp32", "ort-int8", "ort-int8-twin"}
    assert figures["ort-int8"]["bytes"] < 0.3 * figures["ort-fp32"]["bytes"]
    assert figures["fp32-reference"]["latency"]["ratio"] == 1.0
    assert figures["fp32-reference"]["tables"]["test"]["flips"] is None
    same = figures["ort-fp32"]["tables"]["test"]
    assert same["flips"]["farthest"] <= 1.0
    assert same["measured_on"] == "synthetic phantoms"
    assert {"ap_macro", "auroc/MA", "f1/NoPS"} <= set(same["measures"])
    page = (done.out / "report.html").read_text()
    for key in ("accuracy-test", "flips-test"):
        assert f'<figure id="figure-{key}">\n<svg role="img"' in page
    for text in (page, readme):
        assert "Variants on table test" in text
        assert "measured on synthetic phantoms" in text
        assert "a test" in text
    assert "http" not in page.replace("http://www.w3.org", "")


def test_latency_is_quoted_against_eager_pytorch(done: Done) -> None:
    latency = content(done.out / "03-gate" / "gate.json")["latency"]

    assert set(latency) == {
        "eager-pytorch",
        "fp32-reference",
        "ort-fp32",
        "ort-int8",
        "ort-int8-twin",
    }
    ratio = latency["eager-pytorch"]["ratios"]["ort-int8"]
    assert f"| {ratio:.2f} |" in (done.out / "README.md").read_text()


def test_the_eager_network_answers_as_ours(release_folder: Path) -> None:
    model, _ = load_checkpoint(release_folder / "checkpoint.safetensors")
    images = torch.rand(2, 3, 64, 64)

    network = timm_network(model)
    with torch.inference_mode():
        expected, found = model(images), network(images)

    assert all(
        type(m).__module__.startswith("timm.")
        for m in network.backbone.modules()
        if "iny" in type(m).__name__ or "Attention" in type(m).__name__
    )
    for ours, theirs in zip(expected, found, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)


def test_the_bundle_holds_what_passed_and_is_needed(done: Done) -> None:
    gate = content(done.out / "03-gate" / "gate.json")
    (dropped,) = gate["dominated"]
    twins = {"ort-int8", "ort-int8-twin"}

    assert gate["failures"] == []
    assert {dropped["variant"], dropped["by"]} <= {*twins, "ort-fp32"}
    assert dropped["reason"] in done.said
    assert done.report.bundle is not None
    with Bundle.open(done.report.bundle, trust=ANY_BUNDLE) as bundle:
        manifest = bundle.manifest
        assert bundle.digest == done.report.bundle_sha256
    kept = {variant.name: variant for variant in manifest.variants}
    assert set(kept) == {"ort-fp32", *twins} - {dropped["variant"]}
    assert {(v.artifact, v.precision) for v in kept.values()} == {
        ("models/realmnet-fp32.onnx", "fp32"),
        ("models/realmnet-int8.onnx", "int8"),
    }
    assert kept["ort-fp32"].cpu_requires == ()
    assert {entry.variant for entry in manifest.evidence} == {"fp32-reference", *kept}
    assert all("synthetic phantoms" in entry.note for entry in manifest.evidence)
    assert manifest.provenance.command == "realmnet compress tiny"


def test_the_same_again_keeps_everything(done: Done) -> None:
    again = run(done.home, done.recipe, done.out)

    assert (again.made, again.kept) == ((), ("fp32", "int8", "gate", "bundle"))
    assert again.bundle_sha256 == done.report.bundle_sha256


def test_a_damaged_step_is_made_again_to_the_same_bytes(done: Done, copied: Path) -> None:
    path = copied / "02-int8" / "model.onnx"
    before = path.read_bytes()
    path.write_bytes(before[:-1])

    again = run(done.home, done.recipe, copied)

    assert again.made == ("int8",)
    assert path.read_bytes() == before


def test_a_gate_that_fails_leaves_its_reasons_and_no_bundle(done: Done, copied: Path) -> None:
    steps = tuple(
        msgspec.structs.replace(step, flips=0.0) if isinstance(step, GateStep) else step
        for step in done.recipe.steps
    )
    stricter = msgspec.structs.replace(done.recipe, steps=steps)

    for _ in range(2):
        with pytest.raises(GateFailed, match=r"fewer than 0 may.*no bundle was written") as failed:
            run(done.home, stricter, copied)

        assert failed.value.exit_code == 4
        assert not list(copied.rglob("*.realmnet"))
        assert content(copied / "03-gate" / "gate.json")["failures"]
        assert "Failed: no bundle." in (copied / "README.md").read_text()


def test_the_command_prints_recipe_and_report(done: Done) -> None:
    app = typer.Typer()
    app.command()(compress_command)
    recipe = str(done.home / "compress.toml")
    given = ["--checkpoint", str(done.home / "checkpoint.safetensors")]
    given += ["--data", str(done.home / "data"), "--cache", str(done.home / "cache")]

    dry = CliRunner().invoke(app, [recipe, "--dry-run"])
    ran = CliRunner().invoke(app, [recipe, *given, "-o", str(done.out), "--json"])

    assert msgspec.json.decode(dry.stdout, type=CompressionRecipe) == done.recipe
    kept = msgspec.json.decode(ran.stdout.splitlines()[-1])["kept"]
    assert kept == ["fp32", "int8", "gate", "bundle"]
    assert CliRunner().invoke(app, [recipe]).exit_code == 2


def test_a_checkpoint_with_other_labels_is_refused(
    release_folder: Path, recipe: CompressionRecipe
) -> None:
    model = RealMNet("5m", 64, labels=5)
    facts = read_facts(release_folder / "checkpoint.safetensors")
    facts = msgspec.structs.replace(
        facts, label_set=PERIPHERAL, architecture=architecture_of(model), operating_point=None
    )
    save_checkpoint(release_folder / "other.safetensors", model, facts)

    with pytest.raises(ConfigurationError, match=r"'peripheral'.*releases 'psmm'"):
        run(release_folder, recipe, release_folder / "refused", checkpoint="other.safetensors")
    assert not (release_folder / "refused" / "recipe.json").exists()


def test_a_folder_with_something_else_is_left_alone(
    release_folder: Path, recipe: CompressionRecipe, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")

    with pytest.raises(UsageError, match=r"holds files and no recipe\.json"):
        run(release_folder, recipe, tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.fixture
def data(release_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(release_folder / "data", tmp_path / "data"))


def table(data: Path, name: str) -> Path:
    return data / "datasets" / "PSMM" / "ImageSets" / "Main" / f"{name}.csv"


def test_a_picture_that_calibrates_cannot_be_evidence(
    release_folder: Path, recipe: CompressionRecipe, data: Path, tmp_path: Path
) -> None:
    records = read_psmm(data)
    shared = records["val"].paths[3].read_bytes()
    records["test"].paths[5].write_bytes(shared)
    _, facts = load_checkpoint(release_folder / "checkpoint.safetensors")

    with pytest.raises(
        ConfigurationError, match=r"1 pictures of split 'test'.*in line 7, which is line 5 there"
    ) as refused:
        open_tables(recipe, facts, data, tmp_path / "cache")

    assert records["test"].files[5] not in str(refused.value)
    assert refused.value.exit_code == 2


def test_a_patient_who_calibrates_cannot_be_evidence(
    release_folder: Path, recipe: CompressionRecipe, data: Path, tmp_path: Path
) -> None:
    row = table(data, "val").read_text().splitlines()[1]
    test = table(data, "test")
    test.write_text(f"{test.read_text()}{row}\n")
    facts = read_facts(release_folder / "checkpoint.safetensors")

    with pytest.raises(ConfigurationError, match="is also in split 'val'"):
        open_tables(recipe, facts, data, tmp_path / "cache")


def test_a_calibration_set_without_a_label_is_refused_before_any_step(
    release_folder: Path, recipe: CompressionRecipe, data: Path, tmp_path: Path
) -> None:
    path = table(data, "val")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if float(row["A4"]) == 0.0)

    with pytest.raises(ConfigurationError, match="has 0 pictures of 'MA'; calibration needs 2"):
        compress(
            recipe,
            release_folder / "checkpoint.safetensors",
            data,
            tmp_path / "out",
            cache=tmp_path / "cache",
        )

    assert not list((tmp_path / "out").iterdir())
