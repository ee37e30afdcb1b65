"""Tracking by MLflow: only when asked, into a folder, without a word about who trains where."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from realmnet_runtime.errors import OutputError, UsageError
from realmnet_training.config import load_preset
from realmnet_training.fit import train_preset
from realmnet_training.fitting import tracking
from realmnet_training.fitting.tracking import flattened, require_mlflow, tracked

CHANGES = ["fit.stages=[{image=64, epochs=2, batch=8, lr=1e-3, loss={type='bce'}}]"]


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - untyped package
    for name, value in tracking._ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return pytest.importorskip("mlflow", reason="the extra 'tracking' is not installed")


def test_nested_settings_become_dotted_keys() -> None:
    nested = {"fit": {"stages": ({"batch": 8}, {"batch": 4})}, "name": "x", "none": None}
    assert flattened(nested) == {
        "fit.stages.0.batch": 8,
        "fit.stages.1.batch": 4,
        "name": "x",
        "none": None,
    }


def test_without_the_package_the_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'realmnet\[tracking\]'"):
        require_mlflow()


def test_without_a_store_nothing_is_tracked(tmp_path: Path) -> None:
    with tracked(load_preset("smoke"), None, tmp_path / "note") as tracker:
        assert tracker is None
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_is_tracked_and_a_resumed_one_goes_on(
    mlflow: Any,  # noqa: ANN401
    phantom_data: Path,
    tmp_path: Path,
    one_thread: None,
) -> None:
    store, run = (tmp_path / "store").as_uri(), tmp_path / "run"
    preset = load_preset("smoke", CHANGES)
    train_preset(preset, phantom_data, run, tracking=store)
    client = mlflow.MlflowClient(tracking_uri=store)
    name = (run / "mlflow.txt").read_text().strip()
    found = client.get_run(name)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "smoke"
    assert found.data.params["fit.stages.0.batch"] == "8"
    assert found.data.params["preprocess.size"] == "64"
    history = client.get_metric_history(name, "development.ap_macro")
    assert [point.step for point in history] == [1, 2]
    assert found.data.metrics["loss"] > 0
    assert "development.auroc_per_label.6" in found.data.metrics
    files = {entry.path for entry in client.list_artifacts(name)}
    assert files == {
        "preset.json",
        "environment.json",
        "log.txt",
        "metrics.jsonl",
        "curves.png",
        "checkpoint.safetensors",
    }
    kept = (path for path in (tmp_path / "store").rglob("*") if path.is_file())
    said = b"".join(path.read_bytes() for path in kept if path.suffix != ".safetensors").decode(
        errors="ignore"
    )
    for name_of in (getpass.getuser(), socket.gethostname(), str(phantom_data)):
        assert f" {name_of}\n" not in said
    assert found.info.user_id == "unknown"

    def interrupted() -> None:
        with tracked(preset, store, run / "mlflow.txt") as tracker:
            assert tracker is not None
            assert tracker.run == name
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert client.get_run(name).info.status == "KILLED"
    assert len(client.search_runs([found.info.experiment_id])) == 1


def test_a_store_that_does_not_answer_is_one_line_without_the_password(
    mlflow: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    preset, note = load_preset("smoke"), tmp_path / "note"
    with (
        pytest.raises(UsageError, match="did not answer") as caught,
        tracked(preset, "http://somebody:secret@127.0.0.1:9", note),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not note.exists()


def test_a_store_that_stops_answering_stops_the_run_and_the_environment_is_put_back(
    mlflow: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DO_NOT_TRACK")
    store = tmp_path / "store"

    def broken_off() -> None:
        with tracked(load_preset("smoke"), str(store), tmp_path / "note") as tracker:
            assert tracker is not None
            assert os.environ["DO_NOT_TRACK"] == "true"
            store.rename(tmp_path / "elsewhere")
            tracker.log_epoch({"epoch": 1, "loss": 0.5})

    with pytest.raises(OutputError, match="did not answer"):
        broken_off()
    assert "DO_NOT_TRACK" not in os.environ
