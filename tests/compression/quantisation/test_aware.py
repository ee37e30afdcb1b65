"""Quantisation-aware training: what it leaves alone, what it learns, what comes out of it."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import openvino
import pytest
import torch
from scipy.special import rel_entr
from torch import Tensor, nn

from realmnet_benchmarks.splits import Split
from realmnet_compression.openvino_files import encode_ir, write_ir
from realmnet_compression.quantisation.aware import (
    AwareReport,
    AwareSettings,
    insert_quantisers,
    quantise_aware,
    train_aware,
)
from realmnet_compression.quantisation.aware_distance import distance
from realmnet_compression.quantisation.aware_openvino import convert, plain_weights
from realmnet_compression.quantisation.aware_pictures import TrainingPictures
from realmnet_compression.quantisation.nncf_library import is_quantiser
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.labels import PSMM
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.config import AugmentConfig
from realmnet_training.model import RealMNet
from realmnet_training.pictures.prepared import PreparedSplit

SETTINGS = AwareSettings(epochs=2, batch=4, lr=1e-5)
TOLERANCE = 0.1
"""Largest difference of an answer, in standard deviations of the FP32 network's answers."""


class Shown:
    """The same few pictures in every epoch."""

    def __init__(self, images: Tensor, batch: int) -> None:
        self._batches = images.split(batch)

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, number: int) -> Iterator[Tensor]:
        del number
        yield from self._batches


class Nothing:
    """A table of fewer pictures than one batch."""

    def __len__(self) -> int:
        return 0

    def epoch(self, number: int) -> Iterator[Tensor]:
        del number
        yield from ()


@dataclass(frozen=True)
class Made:
    """All that one short run gives, made once since each part of it is slow."""

    fp32_before: dict[str, Tensor]
    report: AwareReport
    answers: tuple[Tensor, Tensor]
    unrounded: tuple[Tensor, Tensor]
    plain: RealMNet
    hooks: list[str]
    again: dict[str, Tensor]
    trained: dict[str, Tensor]
    converted: openvino.Model


@pytest.fixture(scope="module")
def shown(tensors: list[Any]) -> Tensor:
    return torch.from_numpy(np.concatenate(tensors))


@pytest.fixture(scope="module")
def made(trained: RealMNet, tensors: list[Any], shown: Tensor) -> Made:
    before = copy.deepcopy(trained.state_dict())
    pictures = Shown(shown[8:16], 4)
    quantised, report = train_aware(trained, trained, tensors[:4], pictures, SETTINGS)
    repeated, _ = train_aware(trained, trained, tensors[:4], pictures, SETTINGS)
    plain = plain_weights(quantised, trained)
    with torch.no_grad():
        answers = quantised(shown[16:17])
        unrounded = without_rounding(quantised)(shown[16:17])
    hooks = [name for name, module in quantised.named_modules() if is_quantiser(module)]
    state = copy.deepcopy(quantised.state_dict())
    return Made(
        fp32_before=before,
        report=report,
        answers=answers,
        unrounded=unrounded,
        plain=plain,
        hooks=hooks,
        again=repeated.state_dict(),
        trained=state,
        converted=convert(quantised, trained.image),
    )


def without_rounding(quantised: nn.Module) -> nn.Module:
    model = copy.deepcopy(quantised)
    for module in model.modules():
        if is_quantiser(module):
            module.disable_quantization()  # type: ignore[operator]
    return model


@pytest.mark.slow
def test_the_fp32_network_is_left_as_it_was(made: Made, trained: RealMNet) -> None:
    assert not trained.training
    assert trained.state_dict().keys() == made.fp32_before.keys()
    for name, value in trained.state_dict().items():
        assert torch.equal(value, made.fp32_before[name]), name
    assert all(parameter.requires_grad for parameter in trained.parameters())


@pytest.mark.slow
def test_weights_and_ranges_learn_and_statistics_do_not(made: Made) -> None:
    assert made.report.steps == 4
    assert made.report.losses[1] < made.report.losses[0]
    assert made.report.quantisers == len(made.hooks) > 100
    changed = {
        name
        for name, value in made.fp32_before.items()
        if not torch.equal(value, made.trained[name])
    }
    weights = {name for name in made.fp32_before if name.endswith("weight")}
    assert len(changed & weights) > 0.9 * len(weights)
    assert not any("running_" in name or "tracked" in name for name in changed)


@pytest.mark.slow
def test_the_same_seed_and_pictures_give_the_same_weights(made: Made) -> None:
    assert made.again.keys() == made.trained.keys()
    for name, value in made.again.items():
        assert torch.equal(value, made.trained[name]), name


@pytest.mark.slow
def test_no_quantiser_is_in_the_head(made: Made) -> None:
    assert any("/attn/qkv/linear/" in name for name in made.hooks)
    assert not any("hooks.head" in name for name in made.hooks)
    # the last convolution of the converted model is the head's: neither of its inputs is rounded
    operators = made.converted.get_ordered_ops()
    last = [node for node in operators if node.get_type_name() == "Convolution"][-1]
    assert last.get_output_shape(0) == openvino.Shape([1, 14, 2, 2])
    weights = last.input_value(1).get_node()
    assert weights.get_type_name() == "Constant"
    assert weights.get_element_type() == openvino.Type.f32
    behind = operators[operators.index(last) :]
    assert not any(node.get_type_name() == "FakeQuantize" for node in behind)
    before = last.input_value(0).get_node()
    while before.get_type_name() in {"Transpose", "Reshape"}:
        before = before.input_value(0).get_node()
    assert before.get_type_name() != "FakeQuantize"


@pytest.mark.slow
def test_plain_weights_answer_as_the_quantised_network_without_rounding(
    made: Made, shown: Tensor
) -> None:
    with torch.no_grad():
        found = made.plain(shown[16:17])
    for ours, theirs in zip(found, made.unrounded, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_the_written_file_answers_as_the_network_it_was_made_from(
    made: Made, trained: RealMNet, shown: Tensor, tmp_path: Path
) -> None:
    path, _ = write_ir(encode_ir(made.converted, "int8"), tmp_path / "aware.xml")
    compiled = openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = compiled(shown[16:17].numpy())
    assert compiled.input("image").shape == openvino.Shape([1, 3, 64, 64])
    # Ties fall to either side, and one rounded step of an activation is passed on: what is left is
    # a fraction of what rounding itself does.
    with torch.no_grad():
        spreads = [part.std().item() for part in trained(shown)]
    for name, theirs, spread in zip(("logits", "score_maps"), made.answers, spreads, strict=True):
        np.testing.assert_allclose(answer[name], theirs.numpy(), rtol=0, atol=TOLERANCE * spread)


@pytest.mark.slow
def test_weights_are_int8_and_tables_stay_tables_in_the_file(
    made: Made, trained: RealMNet, tmp_path: Path
) -> None:
    path, _ = write_ir(encode_ir(made.converted, "int8"), tmp_path / "aware.xml")
    stored = sum(parameter.numel() for parameter in trained.parameters())
    assert path.with_suffix(".bin").stat().st_size < 1.2 * stored
    operators = openvino.Core().read_model(path).get_ordered_ops()
    attentions = [node for node in operators if node.get_type_name() == "ScaledDotProductAttention"]
    assert len(attentions) == 10
    biases = [node.input_value(3).get_node() for node in attentions]
    assert {node.get_type_name() for node in biases} == {"Gather"}


def pictures(count: int, name: str) -> PreparedSplit:
    rng = np.random.default_rng(count)
    labels = rng.integers(0, 2, (count, 7)).astype(np.uint8)
    labels[:2] = 1
    split = Split(
        name=name,
        images=Path("pictures"),
        label_set=PSMM,
        files=tuple(f"{row}.jpg" for row in range(count)),
        labels=labels,
        patients=tuple(f"A-{row // 2}" for row in range(count)),
        sources=("A",) * count,
        eyes=(None,) * count,
    )
    return PreparedSplit(split, rng.integers(0, 256, (count, 64, 64, 3), np.uint8), ())


def test_the_distance_is_the_divergence_of_soft_labels_and_the_maps_error() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, wanted = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64)
    maps, wanted_maps = torch.randn(2, 5, 7, 2, 2, generator=generator, dtype=torch.float64)
    p, q = (torch.sigmoid(each / 3.0).numpy() for each in (wanted, logits))
    divergence = (rel_entr(p, q) + rel_entr(1 - p, 1 - q)).sum() / 5
    expected = 9.0 * divergence + 0.5 * np.square((maps - wanted_maps).numpy()).mean()
    found = distance((logits, maps), (wanted, wanted_maps), temperature=3.0, maps=0.5)
    assert found.item() == pytest.approx(expected)
    same = distance((logits, maps), (logits, maps), temperature=3.0, maps=0.5)
    assert same.item() == pytest.approx(0.0, abs=1e-12)


def test_pictures_of_an_epoch_follow_from_its_number_and_the_seed() -> None:
    prepared, spec = pictures(11, "train"), PreprocessSpec(size=64)
    augmentation = AugmentConfig(flip_horizontal=0.5)

    def shown(seed: int, number: int) -> Tensor:
        batches = TrainingPictures(prepared, spec, batch=4, seed=seed, augmentation=augmentation)
        assert len(batches) == 2
        return torch.cat(list(batches.epoch(number)))

    assert shown(1, 0).shape == (8, 3, 64, 64)
    assert torch.equal(shown(1, 3), shown(1, 3))
    assert not torch.equal(shown(1, 0), shown(1, 1))
    assert not torch.equal(shown(1, 0), shown(2, 0))


@pytest.mark.parametrize(
    ("development", "training", "match"),
    [
        ("test", "train", "split 'test' may not calibrate"),
        ("train", "train", "split 'train' may not calibrate"),
        ("val", "val", "split 'val' may not train a variant"),
        ("val", "test", "split 'test' may not train a variant"),
    ],
)
def test_only_development_calibrates_and_only_training_trains(
    trained: RealMNet, development: str, training: str, match: str
) -> None:
    plan = msgspec.convert({"calibration": {"pictures": 4, "at_least": 1}}, AwareSettings)
    with pytest.raises(UsageError, match=match):
        quantise_aware(
            trained,
            pictures(12, development),
            pictures(12, training),
            PreprocessSpec(size=64),
            settings=plan,
        )


def test_what_cannot_work_is_refused(trained: RealMNet, shown: Tensor, tensors: list[Any]) -> None:
    with pytest.raises(UsageError, match="no calibration pictures"):
        insert_quantisers(trained, [], SETTINGS)
    with pytest.raises(UsageError, match="no training step"):
        train_aware(trained, trained, tensors[:1], Nothing())
    with torch.device("meta"):
        other = RealMNet("5m", 64, labels=5)
    with pytest.raises(ConfigurationError, match="answers 5 labels, the network takes 64 px"):
        train_aware(trained, other, tensors[:1], Shown(shown, 4))
    for setting in ({"lr": 0.0}, {"preset": "fast"}, {"temperature": -1.0}, {"epochs": 0}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(setting, AwareSettings)


QUIET = """
from realmnet_compression.quantisation.nncf_library import load_nncf
nncf = load_nncf()
import openvino.tools.ovc.telemetry_utils as reporting
from nncf.telemetry.wrapper import telemetry
from nncf.torch.quantization import quantize_functions
assert type(telemetry).__name__ == "MagicMock", telemetry
assert reporting.tm.__name__.endswith("telemetry_stub"), reporting.tm
assert type(quantize_functions.QuantizedFunctionsCPU).__name__ == "_PlainFunctions"
"""


@pytest.mark.slow
def test_nncf_reports_nothing_and_prints_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUIET], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stdout
