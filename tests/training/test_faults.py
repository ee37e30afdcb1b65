"""What breaks a training from outside: one clear line, nothing lost, the run goes on."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lightning
import msgspec
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.errors import ConfigurationError, OutputError
from realmnet_training.checkpoint import read_facts
from realmnet_training.config import Preset, load_preset
from realmnet_training.fit import train_preset
from realmnet_training.fitting.faults import OutOfMemory, in_one_line, smaller_batch
from realmnet_training.fitting.keeper import EpochKeeper
from realmnet_training.fitting.learner import Learner
from realmnet_training.fitting.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("one_thread")

STAGES = "fit.stages=[{image=64, epochs=%d, batch=8, lr=1e-3, loss={type='bce'}}]"
# a shell lets what it runs in the background ignore Ctrl-C, and children inherit that
MAIN = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from realmnet_runtime.cli import main; sys.exit(main())"
)


def preset(epochs: int, *changes: str) -> Preset:
    return load_preset("smoke", [STAGES % epochs, "fit.threads=1", *changes])


def command(data: Path, run: Path, epochs: int, *changes: str) -> subprocess.Popen[str]:
    """`realmnet train` in a process of its own."""
    words = ["train", "smoke", "--data", str(data), "--out", str(run)]
    for change in (STAGES % epochs, "fit.threads=1", *changes):
        words += ["--set", change]
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


def kept_epochs(run: Path) -> int:
    content = torch.load(run / "resume.ckpt", map_location="cpu", weights_only=True)
    return int(content["realmnet"]["epochs"])


def epochs_of(run: Path) -> list[int]:
    lines = (run / "metrics.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line)["epoch"] for line in lines]


# -- memory ------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 96), min_size=1, max_size=4), st.integers(0, 3), st.integers(1, 6))
def test_a_smaller_batch_keeps_the_images_a_step(
    batches: list[int], number: int, accumulate: int
) -> None:
    number %= len(batches)
    changed = smaller_batch(batches, number, accumulate)
    if batches[number] == 1:
        assert changed == {}
        return
    assert 1 <= changed[f"fit.stages.{number}.batch"] < batches[number]
    for stage, batch in enumerate(batches):
        if f"fit.stages.{stage}.batch" in changed:
            product = changed[f"fit.stages.{stage}.batch"] * changed["fit.accumulate"]
            assert product == batch * accumulate


def ask_for_too_much() -> None:
    torch.empty(1 << 50, dtype=torch.uint8)


def ask_the_gpu_for_too_much() -> None:
    # what CUDA's allocator raises, whose message this is
    raise torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.25 GiB. GPU 0 has a total capacity of 23.64 GiB"
    )


def ask_numpy_for_too_much() -> None:
    bytearray(1 << 62)


@pytest.mark.parametrize(
    "ask", [ask_for_too_much, ask_the_gpu_for_too_much, ask_numpy_for_too_much]
)
def test_memory_that_runs_out_names_the_batch_and_the_cure(ask: Callable[[], None]) -> None:
    fit = preset(1, "fit.stages.0.batch=12", "fit.accumulate=2").fit
    with pytest.raises(OutOfMemory) as caught, in_one_line(fit, 0):
        ask()
    said = str(caught.value)
    assert "stage 1 at 64 px ran out of memory with batch 12" in said
    assert "--set fit.stages.0.batch=6 --set fit.accumulate=4" in said
    assert "keeps 24 images a step" in said
    assert "\n" not in said
    assert caught.value.exit_code == 2


def test_one_image_that_is_too_much_has_another_cure() -> None:
    with (
        pytest.raises(OutOfMemory, match=r"smaller fit\.stages\.0\.image"),
        in_one_line(preset(1, "fit.stages.0.batch=1").fit, 0),
    ):
        ask_for_too_much()


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ConfigurationError("loss")])
def test_other_errors_pass_through(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, in_one_line(preset(1).fit, 0):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("step", ["training_step", "validation_step"])
def test_a_step_without_memory_stops_the_training_in_one_line(
    step: str, phantom_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(*_: object) -> None:
        ask_for_too_much()

    monkeypatch.setattr(Learner, step, without_memory)
    with pytest.raises(OutOfMemory, match="with batch 8; begin in another --out"):
        train_preset(preset(1), phantom_data, tmp_path / "run")


# -- workers -----------------------------------------------------------------------------------


def kill_workers(trainer: psutil.Process) -> None:
    """Kill the processes that load pictures: forks, which share their parent's command line."""
    with contextlib.suppress(psutil.Error):
        line = trainer.cmdline()
        for child in trainer.children():
            with contextlib.suppress(psutil.Error):
                # the tracker of shared memory has a command line of its own
                if child.cmdline() == line:
                    child.kill()


def test_a_killed_worker_is_named_and_the_run_goes_on_without_it(
    phantom_data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = command(phantom_data, run, 2000, "fit.workers=1")
    try:
        while process.poll() is None:
            if (run / "resume.ckpt").is_file():
                kill_workers(psutil.Process(process.pid))
            time.sleep(0.02)
        _, said = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 2, said
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert last.startswith("realmnet: one of 1 processes that load images ")
    assert "give --resume and --set fit.workers=0" in last
    kept = kept_epochs(run)
    assert 1 <= kept < 2000
    # as the message says: the number of workers may change, the length of the run may not
    folder, decisive = RunFolder(run), Preset.decisive
    folder.open(preset(2000, "fit.workers=0"), resume=True, decisive=decisive)
    with pytest.raises(ConfigurationError, match="another preset"):
        folder.open(preset(1999, "fit.workers=1"), resume=True, decisive=decisive)


# -- disk --------------------------------------------------------------------------------------


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Let no file of this process grow beyond a size once the first epoch is kept."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    whole = EpochKeeper._write_resume

    def limited(size: int) -> None:
        def write_and_fill(keeper: EpochKeeper, trainer: lightning.Trainer) -> None:
            whole(keeper, trainer)
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

        monkeypatch.setattr(EpochKeeper, "_write_resume", write_and_fill)

    yield limited
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        (40 << 20, "resume.ckpt"),
        (1 << 20, "checkpoint.safetensors"),
        (20_000, "curves.png"),
        (2_000, "metrics.jsonl"),
    ],
)
def test_a_full_disk_keeps_the_older_checkpoint_and_resume_file(
    case: tuple[int, str],
    phantom_data: Path,
    tmp_path: Path,
    disk: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size, file = case
    run = tmp_path / "run"
    disk(size)
    with pytest.raises(OutputError, match="free some space") as caught:
        train_preset(preset(3), phantom_data, run)
    assert str(caught.value).startswith(f"cannot write '{run / file}'")
    assert kept_epochs(run) == 1
    assert read_facts(run / "checkpoint.safetensors").epochs >= 1
    assert not list(run.glob(".realmnet-*"))
    monkeypatch.undo()
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    train_preset(preset(3), phantom_data, run, resume=True)
    assert epochs_of(run) == [1, 2, 3]
    assert read_facts(run / "checkpoint.safetensors").finished


# -- signals -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_so_and_goes_on_after_the_last_point_kept(
    number: signal.Signals, phantom_data: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = command(phantom_data, run, 12)
    while not (run / "resume.ckpt").is_file():
        assert process.poll() is None, "the run ended before it could be interrupted"
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "realmnet: interrupted"
    assert "Traceback" not in said
    kept = kept_epochs(run)
    assert 1 <= kept < 12
    train_preset(preset(12), phantom_data, run, resume=True)
    assert epochs_of(run) == list(range(1, 13))
    assert f"resumed after epoch {kept} " in (run / "log.txt").read_text()


# -- pictures ----------------------------------------------------------------------------------


def test_a_corrupt_picture_in_the_middle_is_a_counted_refusal(
    phantom_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantom_data, data)
    table = read_psmm(data)["train"]
    broken = table.paths[7]
    broken.write_bytes(broken.read_bytes()[:700])
    run = tmp_path / "run"
    train_preset(preset(1, "fit.stages.0.batch=5"), data, run)
    said = capsys.readouterr().err
    assert "train: 15 images\ntrain: 1 images left out; the first: line 9: " in said
    assert (run / "log.txt").read_text() in said
    assert broken.name not in said
    facts = read_facts(run / "checkpoint.safetensors")
    assert facts.finished
    assert facts.splits["train"].images == 15
