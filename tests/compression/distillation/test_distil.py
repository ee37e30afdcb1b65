"""Distillation end to end: a replay is what was stored, runs resume exactly and say who taught."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import safetensors.torch
import torch
import typer
from torch import Tensor

from realmnet_benchmarks.records import read_psmm
from realmnet_benchmarks.splits import Split
from realmnet_compression.distillation.commands import distil as distil_command
from realmnet_compression.distillation.distil import Pictures, distil, store
from realmnet_compression.distillation.losses import distillation_loss
from realmnet_compression.distillation.settings import DistilSettings
from realmnet_compression.distillation.soft_labels import SoftLabels, load_soft_labels
from realmnet_compression.distillation.store import placed_batches, training_passes
from realmnet_compression.distillation.supervision import ReplaySupervision, TeacherSupervision
from realmnet_compression.distillation.teacher import Teacher, TeacherFacts
from realmnet_runtime.errors import ConfigurationError
from realmnet_training.checkpoint import load_checkpoint, read_facts
from realmnet_training.config import Preset, load_preset
from realmnet_training.fit import train_preset
from realmnet_training.fitting.learner import Learner
from realmnet_training.fitting.optimiser import Loss
from realmnet_training.fitting.supervision import Batch
from realmnet_training.pictures.prepared import prepare_split

from .conftest import CHANGES

SETTINGS = DistilSettings(temperature=2.0, soft=1.0, maps=0.1, truth=0.5)
WITHOUT_MAPS = msgspec.structs.replace(SETTINGS, maps=0.0)
# a logit kept as float16 is off by 1 part in 2,048; the loss of a picture is a mean of such parts
HALF_LOSS = 2e-3


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def pictures(phantoms: Path, cache: Path) -> Pictures:
    return Pictures(phantoms, cache=cache)


@pytest.fixture(scope="module")
def soft_labels(
    student: Preset, pictures: Pictures, teacher: Teacher, tmp_path_factory: pytest.TempPathFactory
) -> SoftLabels:
    path = tmp_path_factory.mktemp("soft") / "soft.safetensors"
    store(student, pictures, path, teacher, SETTINGS)
    return load_soft_labels(path)


class Witness(ReplaySupervision):
    """Replays, keeps every batch it saw, and what the teacher itself would have taught."""

    def __init__(
        self, teacher: Teacher, soft_labels: SoftLabels, preset: Preset, table: Split
    ) -> None:
        super().__init__(soft_labels, WITHOUT_MAPS, preset, table)
        self.teacher = teacher
        self.seen: dict[tuple[int, ...], Tensor] = {}
        self.losses: list[tuple[float, float, float]] = []

    def loss(self, answer: tuple[Tensor, Tensor], batch: Batch, truth: Loss, stage: int) -> Tensor:
        replayed = super().loss(answer, batch, truth, stage)
        for place, image in zip(batch[2].tolist(), batch[0], strict=True):
            self.seen[tuple(place)] = image.clone()
        online = TeacherSupervision(self.teacher, WITHOUT_MAPS).loss(answer, batch, truth, stage)
        rounded = self.teacher.answer(batch[0])[0].half().float()
        exact = distillation_loss(*answer, rounded, None, batch[1], WITHOUT_MAPS, truth=truth)
        self.losses.append((replayed.item(), exact.item(), online.item()))
        return replayed


@pytest.mark.slow
def test_a_replay_sees_the_stored_pictures_and_learns_what_the_teacher_would_teach(
    student: Preset, pictures: Pictures, teacher: Teacher, soft_labels: SoftLabels, tmp_path: Path
) -> None:
    records = pictures.read(student)
    table = records["train"]
    witness = Witness(teacher, soft_labels, student, table)
    train_preset(student, records, tmp_path / "run", cache=pictures.cache, supervision=witness)

    assert pictures.cache is not None
    prepared = prepare_split(table, student.preprocess, pictures.cache, workers=1)
    stored = {
        tuple(place): image
        for images, _, places, _ in placed_batches(training_passes(student, prepared, 1))
        for place, image in zip(places.tolist(), images, strict=True)
    }
    assert witness.seen.keys() == stored.keys()
    assert len(stored) == 8
    for place, image in stored.items():
        assert torch.equal(witness.seen[place], image)
    assert len({image.sum().item() for image in stored.values()}) == 8
    for replayed, exact, online in witness.losses:
        assert replayed == pytest.approx(exact, rel=1e-6)
        assert replayed == pytest.approx(online, rel=HALF_LOSS)


@pytest.mark.slow
def test_a_run_broken_off_ends_with_the_same_weights_and_says_who_taught_it(
    student: Preset,
    pictures: Pictures,
    teacher: Teacher,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = distil(student, pictures, tmp_path / "whole", teacher, SETTINGS)
    stop_at = 2
    steps = itertools.count()
    whole_step = Learner.training_step

    def interrupted_step(learner: Learner, batch: Batch, batch_idx: int) -> Tensor:
        if next(steps) == stop_at:
            raise KeyboardInterrupt
        return whole_step(learner, batch, batch_idx)

    broken = tmp_path / "broken"
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "training_step", interrupted_step)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            distil(student, pictures, broken, teacher, SETTINGS)
    colder = msgspec.structs.replace(SETTINGS, temperature=1.0)
    with pytest.raises(ConfigurationError, match="begun with another teacher or other weights"):
        distil(student, pictures, broken, teacher, colder, resume=True)
    with pytest.raises(ConfigurationError, match="begun with another teacher"):
        train_preset(student, pictures.data, broken, resume=True)
    resumed = distil(student, pictures, broken, teacher, SETTINGS, resume=True)

    expected, found = (safetensors.torch.load_file(path) for path in (whole, resumed))
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
    facts = read_facts(whole)
    said = {"teacher": teacher.facts, "settings": SETTINGS}
    assert facts.supervision == msgspec.json.decode(msgspec.json.encode(said))
    assert msgspec.json.decode((tmp_path / "whole" / "supervision.json").read_bytes()) == (
        facts.supervision
    )


@pytest.mark.slow
def test_unlabelled_pictures_are_learnt_from_the_teacher_alone(
    student: Preset,
    phantoms: Path,
    teacher: Teacher,
    tmp_path: Path,
) -> None:
    split = read_psmm(phantoms)["train"]
    folder = tmp_path / "pictures"
    folder.mkdir()
    for path in split.paths[:8]:
        shutil.copy(path, folder / path.name)
    pictures = Pictures(phantoms, folder, tmp_path / "cache")
    with pytest.raises(ConfigurationError, match="give --truth 0"):
        distil(student, pictures, tmp_path / "run", teacher, SETTINGS)
    blind = msgspec.structs.replace(WITHOUT_MAPS, truth=0.0)
    store(student, pictures, tmp_path / "soft.safetensors", teacher, blind, keep=3)
    stored = load_soft_labels(tmp_path / "soft.safetensors")
    _, facts = load_checkpoint(distil(student, pictures, tmp_path / "run", stored, blind))
    assert (facts.splits["train"].name, facts.splits["train"].images) == ("unlabelled", 8)
    assert sum(facts.splits["train"].positives) == 0
    assert facts.supervision["soft_labels"]["kept"] == 3
    assert facts.operating_point is not None

    developed = read_psmm(phantoms)["val"].paths[0]
    shutil.copy(developed, folder / developed.name)
    with pytest.raises(ConfigurationError, match="1 unlabelled pictures have names of table 'val'"):
        pictures.read(student)
    (folder / developed.name).rename(folder / f"{developed.stem}_9{developed.suffix}")
    with pytest.raises(ConfigurationError, match="is also in split 'unlabelled'") as refused:
        pictures.read(student)
    assert developed.stem not in str(refused.value)


def test_soft_labels_of_other_pictures_are_refused(
    student: Preset, pictures: Pictures, soft_labels: SoftLabels
) -> None:
    table = pictures.read(student)["train"]
    with pytest.raises(ConfigurationError, match="keeps no score maps; give --maps 0"):
        ReplaySupervision(soft_labels, SETTINGS, student, table)
    other = load_preset("smoke", [*CHANGES, "fit.seed=7", "augment.blur=0.9"])
    with pytest.raises(ConfigurationError, match="another preset: seed, augment differ"):
        ReplaySupervision(soft_labels, WITHOUT_MAPS, other, table)
    fewer = table.select(range(15))
    with pytest.raises(ConfigurationError, match=r"another data set: 16 images .* here has 15"):
        ReplaySupervision(soft_labels, WITHOUT_MAPS, student, fewer)
    peripheral = load_preset("smoke", [*CHANGES, "data.label_set=peripheral"])
    with pytest.raises(ConfigurationError, match="'psmm' and preset 'smoke' trains 'peripheral'"):
        ReplaySupervision(soft_labels, WITHOUT_MAPS, peripheral, table)


def test_stages_without_a_teacher_learn_from_the_labels(teacher: Teacher) -> None:
    later = msgspec.structs.replace(SETTINGS, from_stage=2)
    supervision = TeacherSupervision(teacher, later)
    answer = torch.randn(2, 7), torch.randn(2, 7, 2, 2)
    batch = torch.rand(2, 3, 64, 64), torch.zeros(2, 7)

    def truth(logits: Tensor, targets: Tensor, *, known: Tensor | None = None) -> Tensor:
        assert known is not None
        return (logits - targets).square().sum()

    assert supervision.loss(answer, batch, truth, 0) == answer[0].square().sum()
    assert supervision.loss(answer, batch, truth, 1) != answer[0].square().sum()


@pytest.mark.slow
def test_the_command_stores_and_replays(
    phantoms: Path,
    cache: Path,
    teacher_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, run = tmp_path / "soft.safetensors", tmp_path / "run"
    shared: dict[str, Any] = {
        "changes": list(CHANGES),
        "data": phantoms,
        "cache": cache,
        "as_json": True,
    }
    distil_command("smoke", teacher=teacher_file, store_file=file, temperature=3.0, **shared)
    said: dict[str, Any] = msgspec.json.decode(capsys.readouterr().out)
    assert said["facts"]["kept"] == 7
    assert said["facts"]["table"]["images"] == 16
    distil_command("smoke", soft_labels=file, out=run, **shared)
    trained: dict[str, Any] = msgspec.json.decode(capsys.readouterr().out)
    assert trained["checkpoint"] == str(run / "checkpoint.safetensors")
    assert trained["supervision"]["settings"]["temperature"] == 3.0
    assert trained["supervision"]["settings"]["maps"] == 0.0
    assert trained["supervision"]["teacher"] == said["facts"]["teacher"]
    assert 0.0 < trained["development"]["ap_macro"] <= 1.0


def test_the_command_says_what_it_would_do_and_what_it_lacks(
    teacher_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distil_command("student_11m", soft=0.7, unlabelled=tmp_path, dry_run=True, smoke=True)
    plan: dict[str, Any] = msgspec.json.decode(capsys.readouterr().out)
    assert plan["preset"]["model"]["size"] == "11m"
    assert plan["preset"]["fit"]["stages"][0]["epochs"] == 1
    assert plan["settings"] == msgspec.to_builtins(DistilSettings(soft=0.7, truth=0.0))
    with pytest.raises(typer.BadParameter, match="one of --teacher"):
        distil_command("smoke", data=tmp_path, out=tmp_path)
    with pytest.raises(typer.BadParameter, match="either --out for a run or --store"):
        distil_command("smoke", teacher=teacher_file, data=tmp_path)
    with pytest.raises(ConfigurationError, match=r"'psmm' .* and the student's preset has .*'peri"):
        distil_command(
            "smoke",
            teacher=teacher_file,
            changes=["data.label_set=peripheral"],
            data=tmp_path,
            out=tmp_path,
        )


def test_maps_of_a_teacher_without_any_are_refused() -> None:
    without = Teacher(torch.nn.Identity(), TeacherFacts("ab" * 32, "timm resnet18", 224, False))
    with pytest.raises(ConfigurationError, match=r"timm resnet18.* has no score maps; give --maps"):
        TeacherSupervision(without, SETTINGS)
