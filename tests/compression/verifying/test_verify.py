"""Two forms of a model held against each other: alike, unlike, and no forms of one model."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
import typer
from onnx import numpy_helper
from typer.testing import CliRunner

from realmnet_compression.answers import Float32Array
from realmnet_compression.build_openvino import IrPrecision, build_openvino
from realmnet_compression.quantisation.quantise import QuantiseSettings, quantise
from realmnet_compression.verifying.commands import verify as verify_command
from realmnet_compression.verifying.subjects import open_subject, require_same
from realmnet_compression.verifying.verify import Verification, VerifyLimits, verify
from realmnet_runtime.bundles.default_bundle import find_default_bundle
from realmnet_runtime.errors import ConfigurationError, GateFailed, MissingPath, UsageError
from realmnet_runtime.labels import PERIPHERAL, PSMM, LabelSet
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.checkpoint import CheckpointFacts, architecture_of, save_checkpoint
from realmnet_training.model import RealMNet

SHOWN = "stripes and blobs"


def saved(path: Path, model: RealMNet, label_set: LabelSet) -> Path:
    facts = CheckpointFacts(
        architecture=architecture_of(model), label_set=label_set, spec=PreprocessSpec(size=64)
    )
    save_checkpoint(path, model, facts)
    return path


@pytest.fixture(scope="module")
def checkpoint(trained: RealMNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("verify") / "checkpoint.safetensors", trained, PSMM)


@pytest.fixture(scope="module")
def int8(
    exported: Path, tensors: list[Float32Array], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("verify") / "int8.onnx"
    quantise(exported, path, tensors[:6], settings=QuantiseSettings(threads=1))
    return path


@pytest.fixture(scope="module")
def altered(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported file with the biases of its last norm moved."""
    model = onnx.load(exported)
    bias = next(t for t in model.graph.initializer if t.name == "backbone.head.norm.bias")
    moved = numpy_helper.to_array(bias) + np.float32(0.05)
    bias.CopyFrom(numpy_helper.from_array(moved, bias.name))
    path = tmp_path_factory.mktemp("verify") / "altered.onnx"
    onnx.save(model, path)
    return path


def held(first: Path, second: Path, tensors: list[Float32Array], **changes: float) -> Verification:
    here, there = (open_subject(str(path), threads=1) for path in (first, second))
    return verify(here, there, tensors, SHOWN, limits=VerifyLimits(**changes))


def test_an_export_answers_like_its_checkpoint_stage_by_stage(
    checkpoint: Path, exported: Path, tensors: list[Float32Array], trained: RealMNet
) -> None:
    found = held(checkpoint, exported, tensors)

    found.require_passed()
    assert [stage.name for stage in found.stages] == [
        "tensors",
        "maps",
        "probabilities",
        "decisions",
    ]
    assert found.parity.logits.largest <= 1e-4
    assert found.parity.maps.least_rank_median == pytest.approx(1.0, abs=0.01)
    with torch.no_grad():
        logits = trained(torch.from_numpy(np.concatenate(tensors)))[0].numpy()
    answered = open_subject(str(checkpoint)).ask(tensors).logits
    # torch adds up batches and single pictures in another order
    np.testing.assert_allclose(answered, logits, atol=1e-4)


def test_int8_is_not_held_to_the_tensors_of_fp32(
    exported: Path, int8: Path, tensors: list[Float32Array]
) -> None:
    limits = {"flips": 1.0, "probabilities": 1.0, "rank_correlation": -1.0, "peak_shift": 9.0}
    found = held(exported, int8, tensors, **limits)

    found.require_passed()
    assert found.parity.logits.largest > 1e-4
    assert "no limit where one is not FP32" in found.stages[0].line
    strict = held(exported, int8, tensors, **{**limits, "probabilities": 0.0})
    with pytest.raises(GateFailed, match="probabilities: differ by"):
        strict.require_passed()


def test_a_moved_weight_is_found(
    checkpoint: Path, altered: Path, tensors: list[Float32Array]
) -> None:
    found = held(checkpoint, altered, tensors)

    with pytest.raises(GateFailed, match=r"tensors: logits differ by at most .* 1e-04 is allowed"):
        found.require_passed()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_ir_answers_like_its_checkpoint(
    precision: IrPrecision,
    checkpoint: Path,
    trained: RealMNet,
    tensors: list[Float32Array],
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.xml"
    calibration = tensors[:6] if precision == "int8" else []
    build_openvino(trained, path, precision=precision, calibration=calibration)

    # nothing was given back: what INT8 may change is not the question here
    limits = {"probabilities": 1e-3} if precision == "fp32" else {"probabilities": 1.0}
    found = held(
        checkpoint, path, tensors, flips=0.1, peak_shift=9.0, rank_correlation=-1.0, **limits
    )

    assert [stage.passed for stage in found.stages] == [True] * 4
    assert open_subject(str(path)).exact == (precision == "fp32")


def test_an_ir_from_elsewhere_or_half_of_one_is_refused(trained: RealMNet, tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    build_openvino(trained, path)
    path.with_suffix(".bin").rename(tmp_path / "kept.bin")
    with pytest.raises(MissingPath, match=r"no file '.*model\.bin'"):
        open_subject(str(path))
    (tmp_path / "kept.bin").rename(path.with_suffix(".bin"))
    path.write_bytes(
        path.read_bytes()
        .replace(b"<realmnet>", b"<elsewhere>")
        .replace(b"</realmnet>", b"</elsewhere>")
    )
    with pytest.raises(ConfigurationError, match="no OpenVINO IR of this toolkit"):
        open_subject(str(path))
    path.write_text("no graph")
    with pytest.raises(ConfigurationError, match="no OpenVINO IR of this toolkit"):
        open_subject(str(path))


def test_the_command_draws_phantoms_and_fails_with_its_line(exported: Path, altered: Path) -> None:
    app = typer.Typer()
    app.command()(verify_command)
    drawn = ["--pictures", "3", "--height", "96", "--threads", "1"]

    alike = CliRunner().invoke(app, [str(exported), str(exported), *drawn, "--json"])
    unlike = CliRunner().invoke(app, [str(exported), str(altered), *drawn, "--stage", "tensors"])

    assert alike.exit_code == 0, alike.output
    found = msgspec.json.decode(alike.stdout.splitlines()[-1])
    assert found["measured_on"] == "synthetic phantoms"
    assert found["parity"]["flips"] == 0
    assert isinstance(unlike.exception, GateFailed)
    assert unlike.exception.exit_code == 4
    assert "FAIL tensors" in unlike.stdout
    assert "decisions" not in unlike.stdout


def test_a_bundles_variant_is_named_behind_its_path() -> None:
    path = find_default_bundle()
    assert path is not None

    subject = open_subject(f"{path}#onnxruntime-fp32")

    assert subject.name.endswith("#onnxruntime-fp32")
    assert (subject.size, subject.labels, subject.exact) == (224, 7, False)
    assert open_subject(str(path)).name.endswith("#openvino-int8")
    with pytest.raises(ConfigurationError, match="did you mean 'onnxruntime-fp32'"):
        open_subject(f"{path}#onnxruntime-fp23")


def test_forms_of_different_models_are_refused(
    checkpoint: Path, exported: Path, tmp_path: Path
) -> None:
    other = saved(tmp_path / "other.safetensors", RealMNet("5m", 64, labels=5), PERIPHERAL)
    here = open_subject(str(checkpoint))

    with pytest.raises(ConfigurationError, match=r"answers label set 'psmm'.*'peripheral'"):
        require_same(here, open_subject(str(other)))
    with pytest.raises(ConfigurationError, match=r"answers 5 labels.*64 px and 7"):
        require_same(open_subject(str(other)), open_subject(str(exported)))


def test_what_is_no_form_of_a_model_is_refused(exported: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.onnx"
    shape = [1, 3, 8, 8]
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, shape) for n in "xy")
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y])), foreign)
    text = tmp_path / "model.txt"
    text.write_text("no model")

    with pytest.raises(ConfigurationError, match="was not exported by realmnet"):
        open_subject(str(foreign))
    with pytest.raises(UsageError, match="none of the forms"):
        open_subject(str(text))
    with pytest.raises(UsageError, match="is no bundle"):
        open_subject(f"{exported}#int8")
    with pytest.raises(MissingPath, match="nothing at"):
        open_subject(str(tmp_path / "absent.onnx"))
