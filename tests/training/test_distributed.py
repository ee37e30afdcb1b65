"""Two processes that train together equal one that accumulates the same two half-batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from realmnet_training.fitting.processes import is_first_process

SCRIPT = Path(__file__).with_name("record_gradients.py")
CHANGES = (
    "fit.stages=[{image=64, epochs=10, batch=4, lr=1e-4}]",
    "augment={erase=0, affine=0, flip_horizontal=0, flip_vertical=0, blur=0, jitter=0, noise=0}",
    "fit.accelerator=cpu",
    "fit.threads=1",
)


def run(data: Path, folder: Path, change: str) -> None:
    environment = {name: value for name, value in os.environ.items() if "RANK" not in name}
    subprocess.run(
        [sys.executable, SCRIPT, data, folder / "run", folder / "record", *CHANGES, change],
        env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        timeout=600,
    )


@pytest.mark.slow
def test_two_processes_equal_one_that_accumulates(phantom_data: Path, tmp_path: Path) -> None:
    for name, change in (("together", "fit.devices=2"), ("alone", "fit.accumulate=2")):
        (tmp_path / name).mkdir()
        run(phantom_data, tmp_path / name, change)
    alone = np.load(tmp_path / "alone" / "record-first.npz")
    shares = [np.load(tmp_path / "together" / f"record-{k}.npz") for k in ("first", "second")]

    assert alone["gradients"].shape[0] == 20
    assert alone["losses"].shape == (40,)
    for share in shares:
        scale = np.abs(alone["gradients"]).max(axis=1, keepdims=True)
        np.testing.assert_allclose(
            share["gradients"] / scale, alone["gradients"] / scale, rtol=0, atol=1e-4
        )
    dealt = np.stack([share["losses"] for share in shares], axis=1).reshape(-1)
    np.testing.assert_allclose(dealt, alone["losses"], rtol=1e-4)
    checkpoints = [tmp_path / name / "run" / "metrics.jsonl" for name in ("together", "alone")]
    lines = [path.read_text().count("\n") for path in checkpoints]
    assert lines == [10, 10], "one process alone writes the run's folder"


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "4", "LOCAL_RANK": "0", "GROUP_RANK": "1"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_the_first_process_is_known_before_training(
    environment: dict[str, str], first: bool
) -> None:
    assert is_first_process(environment) is first
