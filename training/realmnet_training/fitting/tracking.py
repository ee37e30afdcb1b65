"""A run in an MLflow store, where somebody asked for one: settings, metrics, files."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from realmnet_runtime.errors import OutputError, UsageError
from realmnet_runtime.files import write_atomically
from realmnet_training.config import Preset

T = TypeVar("T")

EXPERIMENT: Final = "realmnet"
CURE: Final = "pip install 'realmnet[tracking]'"

# MLflow reports its own use over the network unless told not to, and refuses folders as stores
# unless told otherwise; a folder is what works without a server or a database.
_ENVIRONMENT: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    # a server that is gone must not hold a training up for minutes before it is said
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}
_CREDENTIALS: Final = re.compile(r"//[^/@\s]+@")
_PARAMETERS_AT_ONCE: Final = 100


class Tracker:
    """One run in an MLflow store.

    It names neither user nor machine nor paths: the run has the preset's name and settings.

    Args:
        mlflow: the package.
        store: its tracking URI.
    """

    def __init__(self, mlflow: Any, store: str) -> None:  # noqa: ANN401 - untyped package
        self._mlflow = mlflow
        self._store = store
        self._client = self._ask(UsageError, lambda: mlflow.MlflowClient(tracking_uri=store))
        self.run = ""

    def begin(self, preset: Preset) -> None:
        """Begin a run with the preset's settings.

        Raises:
            UsageError: the store did not take it.
        """

        def verb() -> None:
            found = self._client.get_experiment_by_name(EXPERIMENT)
            experiment = (
                found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
            )
            self.run = self._client.create_run(experiment, run_name=preset.name).info.run_id
            settings = flattened(msgspec.to_builtins(preset))
            params = [
                self._mlflow.entities.Param(key, str(value)) for key, value in settings.items()
            ]
            for start in range(0, len(params), _PARAMETERS_AT_ONCE):
                self._log(params=params[start : start + _PARAMETERS_AT_ONCE])

        self._ask(UsageError, verb)

    def go_on(self, run: str) -> None:
        """Go on with a run that was begun before.

        Raises:
            UsageError: the store does not have it.
        """
        self.run = run
        self._ask(UsageError, lambda: self._client.update_run(run, status="RUNNING"))

    def log_epoch(self, measured: Mapping[str, Any]) -> None:
        """Log the numbers of one line of `metrics.jsonl`, at its epoch.

        Args:
            measured: numbers, null, lists by label and nested mappings of them; null is left out.

        Raises:
            OutputError: the store did not take them.
        """
        now, epoch = int(time.time() * 1000), measured["epoch"]
        metrics = [
            self._mlflow.entities.Metric(name, float(value), now, epoch)
            for name, value in flattened(measured).items()
            if isinstance(value, int | float) and name != "epoch"
        ]
        self._ask(OutputError, lambda: self._log(metrics=metrics))

    def log_files(self, paths: Sequence[Path]) -> None:
        """Copy files into the store.

        Raises:
            OutputError: the store did not take one.
        """

        def verb() -> None:
            for path in paths:
                self._client.log_artifact(self.run, str(path))

        self._ask(OutputError, verb)

    def end(self, status: str) -> None:
        """Close the run as `FINISHED`, `FAILED` or `KILLED`.

        Raises:
            OutputError: the store did not take it.
        """
        self._ask(OutputError, lambda: self._client.set_terminated(self.run, status))

    def _log(self, **what: object) -> None:
        self._client.log_batch(self.run, **what)

    def _ask(self, kind: type[UsageError | OutputError], verb: Callable[[], T]) -> T:
        """What the store answers; its many kinds of errors as one line of ours."""
        try:
            return verb()
        except Exception as error:
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            line = (
                f"the MLflow store '{self._store}' did not answer ({said}); give a folder or the "
                "address of a server that runs, or leave --mlflow out"
            )
            raise kind(_CREDENTIALS.sub("//", line)) from error


def require_mlflow() -> None:
    """Refuse a store where MLflow is not installed, before anything is written.

    Raises:
        UsageError: names the install.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise UsageError(f"--mlflow needs MLflow, which is not installed; {CURE}")


@contextmanager
def tracked(preset: Preset, store: str | None, note: Path) -> Iterator[Tracker | None]:
    """Open a run in a store until the block is left, and close it as that ended.

    Args:
        preset: whose settings are logged.
        store: MLflow's tracking URI: a folder, `file:`, `http:`, `https:` and what the installed
            MLflow knows else. None gives None, and nothing of MLflow is imported.
        note: file that holds the run's identifier, so that a resumed training goes on with it.

    Raises:
        UsageError: the store cannot be opened.
        OutputError: the store stopped taking what is logged, or the note cannot be written.
    """
    if store is None:
        yield None
        return
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        tracker = Tracker(importlib.import_module("mlflow"), store)
        if note.is_file():
            tracker.go_on(note.read_text().strip())
        else:
            tracker.begin(preset)
            write_atomically(note, f"{tracker.run}\n".encode())
        try:
            yield tracker
        except BaseException as error:
            _close_after(error, tracker)
            raise
        tracker.end("FINISHED")
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def flattened(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings and lists as one mapping with dotted keys: `fit.stages.0.batch`."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flattened(value, f"{name}.")
        elif isinstance(value, list | tuple):
            flat |= flattened({str(n): item for n, item in enumerate(value)}, f"{name}.")
        else:
            flat[name] = value
    return flat


def _close_after(error: BaseException, tracker: Tracker) -> None:
    try:
        tracker.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
    except OutputError as second:
        # what ended the training is what must be told
        error.add_note(str(second))
