"""Every kind of step in one recipe: a student, both INT8 routes, quantisers trained, engines."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from torch import Tensor

from realmnet_compression.compressing.recipe import CompressionRecipe, load_compression
from realmnet_compression.compressing.run import CompressionReport
from realmnet_compression.compressing.steps import AwareStep, DistilStep
from realmnet_runtime.backends._engine_key import read_record
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.cpu import has_int8_dot_product
from realmnet_runtime.errors import BackendUnavailable, ConfigurationError, UsageError
from realmnet_runtime.files import sha256_of
from realmnet_runtime.signatures.trust import ANY_BUNDLE
from realmnet_training.checkpoint import read_facts
from realmnet_training.fitting.learner import Learner
from realmnet_training.fitting.supervision import Batch

from .conftest import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not has_int8_dot_product(), reason="a bundle needs a CPU with INT8 dot products"
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("tensorrt_rtx") is None,
        reason="TensorRT-RTX is not installed; pip install 'realmnet[tensorrt-rtx]'",
    ),
]

VARIANT = (
    '[[steps.variants]]\nname = "{}"\nengine = "{}"\nexecution = "{}"\noldest_engine = "1.20"\n'
)
CALIBRATION = "{ pictures = 8, at_least = 1 }"
RECIPE = f"""
name = "every"
version = "0"
notice = "a test"
trained_on = "synthetic phantoms"
threads = 1
latency = {{ rounds = 3, warm_up = 1 }}
[[steps]]
type = "distil"
preset = "smoke"
changes = [
    "fit.stages=[{{image=64, epochs=2, batch=8, steps=3, lr=1e-5, loss={{type='bce'}}}}]",
    "model.backbone=CHECKPOINT", "model.keep_head=true",
    "fit.threads=1", "fit.keep_every=1", "fit.accelerator=cpu",
]
[[steps]]
type = "export"
{VARIANT.format("ort-fp32", "onnxruntime", "fp32")}
[[steps]]
type = "openvino"
name = "ir"
check_pictures = 12
calibration = {CALIBRATION}
quantisation = {{ most_flips = 0.9, most_flips_of_a_label = 1.0, threads = 1 }}
{VARIANT.format("ir-int8", "openvino", "int8")}
[[steps]]
type = "aware"
settings = {{ steps = 2, batch = 4, calibration = {CALIBRATION} }}
[[steps]]
type = "quantise"
name = "portable"
of = "aware"
check_pictures = 12
calibration = {CALIBRATION}
quantisation = {{ most_flips = 0.9, threads = 1 }}
{VARIANT.format("ort-int8", "onnxruntime", "int8")}
[[steps]]
type = "half"
of = "portable"
[[steps]]
type = "tensorrt-rtx"
capabilities = ["8.9"]
[[steps]]
type = "gate"
flips = 1.0
rank_correlation = -1.0
peak_shift = 9.0
replicates = 10
[steps.margins]
ap = 0.99
auroc = 0.99
f1 = 0.99
macro = {{ ap = 0.99, auroc = 0.99, f1 = 0.99 }}
rarest = {{ ap = 0.99, auroc = 0.99, f1 = 0.99 }}
[[steps]]
type = "bundle"
[steps.golden]
cases = 1
candidates = 12
height = 128
tolerance_int8 = 0.0002
tolerance_fp32 = 0.0002
"""


@dataclass(frozen=True)
class Done:
    """One compression, broken off while its student was trained, and resumed."""

    home: Path
    recipe: CompressionRecipe
    out: Path
    trained_after: int
    report: CompressionReport


@pytest.fixture(scope="module")
def done(release_folder: Path) -> Done:
    path = release_folder / "every.toml"
    path.write_text(RECIPE.replace("CHECKPOINT", str(release_folder / "checkpoint.safetensors")))
    recipe, out = load_compression(str(path)), release_folder / "every"
    steps, whole_step = itertools.count(), Learner.training_step

    def interrupted_step(learner: Learner, batch: Batch, batch_idx: int) -> Tensor:
        if next(steps) == 4:
            raise KeyboardInterrupt
        return whole_step(learner, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "training_step", interrupted_step)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            run(release_folder, recipe, out)
        before = next(steps)
        report = run(release_folder, recipe, out)
        return Done(release_folder, recipe, out, next(steps) - before - 1, report)


def test_a_student_broken_off_in_training_goes_on(done: Done) -> None:
    facts = read_facts(done.out / "01-distil" / "checkpoint.safetensors")

    assert done.trained_after == 2
    assert facts.finished
    assert facts.epochs == 2
    assert facts.supervision["teacher"]["digest"] == sha256_of(done.home / "checkpoint.safetensors")
    assert not (done.out / "unfinished").exists()


def test_everything_after_is_of_the_student(done: Done) -> None:
    assert done.report.bundle is not None
    with Bundle.open(done.report.bundle, trust=ANY_BUNDLE) as bundle:
        manifest = bundle.manifest

    student = sha256_of(done.out / "01-distil" / "checkpoint.safetensors")
    assert manifest.provenance.checkpoint_sha256 == student
    assert {v.name: (v.engine, v.precision, v.files) for v in manifest.variants} == {
        "ort-fp32": ("onnxruntime", "fp32", ("models/realmnet-export.onnx",)),
        "ir-int8": ("openvino", "int8", ("models/realmnet-ir.xml", "models/realmnet-ir.bin")),
        "ort-int8": ("onnxruntime", "int8", ("models/realmnet-portable.onnx",)),
    }


def test_training_with_quantisers_leaves_an_ir_and_plain_weights(done: Done) -> None:
    folder = done.out / "04-aware"

    assert {path.name for path in folder.iterdir()} == {
        "model.xml",
        "model.bin",
        "model.onnx",
        "training.json",
        "step.json",
    }
    assert msgspec.json.decode((folder / "training.json").read_bytes())["steps"] == 2
    assert (folder / "model.bin").stat().st_size < 0.4 * (folder / "model.onnx").stat().st_size


def test_engines_are_listed_as_not_executed(done: Done) -> None:
    record = read_record(done.out / "07-tensorrt-rtx" / "sm89.engine")

    assert record.key.compute_capability == "8.9"
    assert record.key.onnx_sha256 == sha256_of(done.out / "06-half" / "model.onnx")
    assert record.precision == "int8"
    readme = (done.out / "README.md").read_text()
    (line,) = (line for line in readme.splitlines() if "sm89.engine" in line)
    assert line.startswith("| 07-tensorrt-rtx/sm89.engine | ")
    assert "for 8.9" in line
    assert "not executed here" in line


def test_the_same_again_keeps_everything(done: Done) -> None:
    again = run(done.home, done.recipe, done.out)

    assert again.made == ()
    assert again.bundle_sha256 == done.report.bundle_sha256


@pytest.mark.parametrize(
    ("place", "changes", "message"),
    [
        (0, {"changes": ("preprocess.mean=[0.5, 0.5, 0.5]",)}, "sees what its teacher saw"),
        (3, {"training": "val"}, "may not train a variant"),
    ],
)
def test_steps_that_do_not_fit_are_refused_before_any_is_made(
    done: Done, tmp_path: Path, place: int, changes: dict[str, object], message: str
) -> None:
    steps = list(done.recipe.steps)
    assert isinstance(steps[place], DistilStep | AwareStep)
    steps[place] = msgspec.structs.replace(steps[place], **changes)
    changed = msgspec.structs.replace(done.recipe, steps=tuple(steps))

    with pytest.raises((ConfigurationError, UsageError), match=message):
        run(done.home, changed, tmp_path / "out")
    assert not (tmp_path / "out" / "recipe.json").exists()


def test_an_absent_library_is_said_before_any_step_is_made(
    done: Done, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)

    with pytest.raises(BackendUnavailable, match="tensorrt-rtx"):
        run(done.home, done.recipe, tmp_path / "out")
    assert not (tmp_path / "out" / "recipe.json").exists()
