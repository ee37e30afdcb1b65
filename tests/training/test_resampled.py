"""The resampled training table: its name, its labels, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from realmnet_benchmarks.splits import Split
from realmnet_runtime.errors import ConfigurationError
from realmnet_runtime.labels import PSMM
from realmnet_training.data.resampled import METHODS, ResamplingConfig, resample
from realmnet_training.resampling import remedial

SETS = np.array([[1, 0, 0, 1, 0, 0, 0], [0, 1, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0, 1]])


def table(name: str = "train") -> Split:
    labels = np.repeat(SETS, [60, 30, 10], axis=0).astype(np.uint8)
    patients = tuple(f"P-{row // 4}" for row in range(100))
    files = tuple(f"{patient}_{row}.png" for row, patient in enumerate(patients))
    return Split(name, Path(), PSMM, files, labels, patients, ("P",) * 100, (None,) * 100)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_training_table(method: str) -> None:
    before = table()
    after = resample(before, ResamplingConfig(method, ratio=0.1))
    assert after.partition == "train"
    assert after.name.startswith(f"train_{method.replace('_', '')}")
    assert set(after.files) <= set(before.files)
    assert (len(after) < 100) == method.endswith("rus")
    if not method.startswith("remedial"):
        known = dict(zip(before.files, before.labels.tolist(), strict=True))
        assert [known[file] for file in after.files] == after.labels.tolist()


def test_the_paper_s_table_is_named_as_released() -> None:
    assert resample(table(), ResamplingConfig()).name == "train_mlrus-20"


def test_remedial_edits_labels() -> None:
    after = resample(table(), ResamplingConfig("remedial"))
    indices, rows = remedial(table().labels)
    assert after.labels.tolist() == rows.tolist()
    assert after.files == tuple(table().files[index] for index in indices)


@pytest.mark.parametrize("name", ["val", "test", "test_natural"])
def test_only_training_tables_are_resampled(name: str) -> None:
    with pytest.raises(ConfigurationError, match="not for training"):
        resample(table(name), ResamplingConfig())


def test_a_misspelt_method_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"'ml_rsu'.*did you mean 'ml_rus'"):
        ResamplingConfig("ml_rsu")
    with pytest.raises(ConfigurationError, match="takes 0 to below 1"):
        ResamplingConfig("lp_rus", ratio=1.0)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"ratio": -1.0}, ResamplingConfig)
