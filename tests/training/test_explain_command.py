"""`realmnet explain` from end to end on synthetic phantoms, with a network of random weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import pytest
import torch

from realmnet_benchmarks.records import read_psmm
from realmnet_runtime.bundles.manifest import OperatingPoint
from realmnet_runtime.errors import MissingPath, OutputError
from realmnet_runtime.labels import PSMM
from realmnet_runtime.pictures.preprocess import PreprocessSpec
from realmnet_training.checkpoint import (
    CheckpointFacts,
    architecture_of,
    read_facts,
    save_checkpoint,
)
from realmnet_training.config import load_preset
from realmnet_training.explanation.commands import explain, notices_of
from realmnet_training.explanation.folder import whole_folder
from realmnet_training.measuring.evaluation import facts_of
from realmnet_training.model import RealMNet

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def checkpoint(phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "checkpoint.safetensors"
    torch.manual_seed(0)
    model = RealMNet("5m", image=64)
    facts = CheckpointFacts(
        architecture=architecture_of(model),
        label_set=PSMM,
        spec=PreprocessSpec(size=64),
        splits={"train": facts_of(read_psmm(phantom_data)["train"])},
        operating_point=OperatingPoint(
            temperatures=dict.fromkeys(PSMM.names, 1.0),
            thresholds=dict.fromkeys(PSMM.names, 0.5),
            fitted_on="nothing",
        ),
    )
    save_checkpoint(path, model, facts)
    return path


@pytest.fixture(scope="module")
def written(checkpoint: Path, phantom_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pytorch_grad_cam", reason="grad-cam is not installed")
    out = tmp_path_factory.mktemp("explain") / "new" / "out"
    explain(checkpoint=checkpoint, data=phantom_data, out=out, split="test", per_label=1)
    return out


def read(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = msgspec.json.decode((folder / "explanations.json").read_bytes())
    return content


def test_a_picture_a_finding_a_sheet_a_label_and_nothing_else(written: Path) -> None:
    found = read(written)
    files = {name for finding in found["findings"] for name in finding["files"].values()}
    assert len(files) == 2 * len(found["findings"]) > 0
    assert {path.name for path in written.iterdir()} == {
        *files,
        *found["sheets"].values(),
        "explanations.json",
    }
    assert set(found["sheets"]) == set(PSMM.names)
    assert [path.name for path in written.parent.iterdir()] == ["out"]
    for name in (*files, *found["sheets"].values()):
        assert cv2.imread(str(written / name)) is not None


def test_findings_are_those_of_the_table_and_named_by_line(
    written: Path, phantom_data: Path
) -> None:
    split, found = read_psmm(phantom_data)["test"], read(written)
    assert found["split"]["digest"] == split.digest
    for finding in found["findings"]:
        label = PSMM.names.index(finding["label"])
        present = bool(split.labels[finding["line"] - 2, label])
        reported = finding["probability"] >= finding["threshold"]
        assert (
            finding["outcome"]
            == {
                (True, True): "true positive",
                (False, True): "false positive",
                (True, False): "false negative",
            }[present, reported]
        )
        assert finding["files"] == {
            method: f"test-line-{finding['line']:05d}-{finding['label']}-{method}.png"
            for method in ("csra", "gradcam++")
        }
    for name, outcomes in found["outcomes"].items():
        label = PSMM.names.index(name)
        assert (
            outcomes["true positive"] + outcomes["false negative"] == split.labels[:, label].sum()
        )
        compared = found["agreement"][name]["findings"]
        assert compared == outcomes["true positive"] + outcomes["false positive"]
    total = sum(found["agreement"][name]["findings"] for name in PSMM.names)
    assert found["agreement"]["all"]["findings"] == total


def test_phantoms_are_said_and_no_identifier_is(
    written: Path, phantom_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notices = read(written)["notices"]
    assert notices[0].startswith("Research use only, not a medical device")
    assert [notice for notice in notices if "phantoms" in notice] == [
        "Pictures: synthetic phantoms, which diagnose nothing.",
        "Model: trained on synthetic phantoms.",
    ]
    said = (written / "explanations.json").read_text()
    names = [path.name for path in written.iterdir()]
    split = read_psmm(phantom_data)["test"]
    for secret in (*split.files, *split.patients):
        assert secret not in said
        assert not any(secret in name for name in names)


def test_the_same_call_writes_the_same_bytes_and_json_is_the_file(
    written: Path,
    checkpoint: Path,
    phantom_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "again"
    out.mkdir()
    explain(
        checkpoint=checkpoint, data=phantom_data, out=out, split="test", per_label=1, as_json=True
    )
    assert msgspec.json.decode(capsys.readouterr().out) == read(out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        path.name: path.read_bytes() for path in written.iterdir()
    }


def test_one_method_needs_no_comparison_and_tells_lines_after_a_bad_picture(
    checkpoint: Path, phantom_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = tmp_path / "data"
    shutil.copytree(phantom_data, copied)
    split = read_psmm(copied)["test"]
    split.paths[2].write_bytes(b"this is no picture")
    explain(
        checkpoint=checkpoint,
        data=copied,
        out=tmp_path / "out",
        method="csra",
        per_label=3,
    )
    found = read(tmp_path / "out")
    assert found["refused"] == 1
    assert found["agreement"] == {}
    assert all(list(finding["files"]) == ["csra"] for finding in found["findings"])
    for finding in found["findings"]:
        assert finding["line"] != 4
        label = PSMM.names.index(finding["label"])
        present = bool(split.labels[finding["line"] - 2, label])
        assert (finding["outcome"] != "false positive") == present
    table = capsys.readouterr().out
    assert "test: 7 pictures, 1 refused" in table
    assert "rank correlation" not in table


def test_a_folder_with_files_is_refused_before_any_work(
    checkpoint: Path, phantom_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(OutputError, match="a new or an empty directory"):
        explain(checkpoint=checkpoint, data=phantom_data, out=tmp_path, method="csra")
    with pytest.raises(OutputError, match="something is there"):
        explain(checkpoint=checkpoint, data=phantom_data, out=tmp_path / "kept", method="csra")
    with pytest.raises(MissingPath):
        explain(checkpoint=tmp_path / "none", data=phantom_data, out=tmp_path / "a", method="csra")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_broken_off_run_leaves_nothing(tmp_path: Path) -> None:
    def break_off() -> None:
        with whole_folder(tmp_path / "out") as folder:
            (folder / "half").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert list(tmp_path.iterdir()) == []


def test_real_pictures_and_finished_training_carry_the_notice_of_use_only(
    checkpoint: Path, phantom_data: Path
) -> None:
    facts, split = read_facts(checkpoint), read_psmm(phantom_data)["test"]
    renamed = replace(split, sources=("ShenzhenEye",) * len(split))
    own = msgspec.structs.replace(facts, splits={})
    assert len(notices_of(own, renamed)) == 1
    assert "Pictures: synthetic" in notices_of(own, split)[1]
    assert "Model: trained on synthetic" in notices_of(facts, renamed)[1]
    begun = msgspec.structs.replace(own, preset=load_preset("smoke"), epochs=3)
    assert "training was not finished, 3 epochs" in notices_of(begun, renamed)[1]
