"""The folder of one training run: preset, environment, log, metrics, checkpoint, resume file."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import numpy as np
import torch

from realmnet_runtime import __version__
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.files import cannot_write, write_atomically
from realmnet_runtime.structs import decode_json

P = TypeVar("P", bound=msgspec.Struct)

_LIBRARIES: Final = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "numpy",
    "opencv-python",
    "safetensors",
)
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class KeptPlace(NamedTuple):
    """Where a resume file stands: stage, whole epochs over all stages, batches after those."""

    stage: int
    epochs: int
    batches: int


class RunFolder:
    """Paths in a run's folder and what is written there.

    Args:
        root: the folder; created where it is absent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.preset = root / "preset.json"
        self.supervision = root / "supervision.json"
        """What a run learns from beside its labels; absent where there is nothing."""
        self.environment = root / "environment.json"
        self.log = root / "log.txt"
        self.metrics = root / "metrics.jsonl"
        self.curves = root / "curves.png"
        self.checkpoint = root / "checkpoint.safetensors"
        self.resume = root / "resume.ckpt"
        self.cache = root / "cache"
        self.tracking = root / "mlflow.txt"
        """Identifier of the run in a tracking store."""

    @property
    def results(self) -> tuple[Path, ...]:
        """What a finished run leaves and a tracking store takes a copy of."""
        said = (self.preset, self.supervision, self.environment, self.log)
        kept = (*said, self.metrics, self.curves)
        return (*(path for path in kept if path.is_file()), self.checkpoint)

    def open(
        self,
        preset: P,
        *,
        resume: bool,
        decisive: Callable[[P], object] = lambda preset: preset,
        supervision: Mapping[str, Any] = _NOTHING,
    ) -> None:
        """Begin or continue a run.

        Args:
            preset: of the run.
            resume: whether to continue it.
            decisive: what of a preset must be as it was when the run was begun.
            supervision: what the run learns from beside its labels, JSON-ready; it must be the
                same too.

        Raises:
            UsageError: a run is already there, or there is none to continue.
            ConfigurationError: the run there was begun with another preset or supervision.
            OutputError: the folder cannot be written.
        """
        begun = self.preset.is_file()
        if resume and not begun:
            raise UsageError(f"'{self.root}' holds no run to resume; leave --resume out")
        if begun and not resume:
            raise UsageError(
                f"'{self.root}' already holds a run; continue it with --resume or choose another "
                "--out"
            )
        if resume:
            begun_with = decode_json(self.preset.read_bytes(), type(preset), str(self.preset))
            if decisive(begun_with) != decisive(preset):
                raise ConfigurationError(
                    f"the run in '{self.root}' was begun with another preset ({self.preset.name}); "
                    "give the same preset and the same --set"
                )
            self._require_supervision(supervision)
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self.supervision.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self.root, error) from error
        write_atomically(self.environment, _pretty(software_facts() | machine_facts()))
        if supervision:
            write_atomically(self.supervision, _pretty(dict(supervision)))
        # last: a folder with a preset is a run that was begun
        write_atomically(self.preset, _pretty(preset))

    def _require_supervision(self, wanted: Mapping[str, Any]) -> None:
        kept = self.supervision.read_bytes() if self.supervision.is_file() else b"{}"
        if decode_json(kept, dict[str, Any], str(self.supervision)) != plain_metrics(dict(wanted)):
            raise ConfigurationError(
                f"the run in '{self.root}' was begun with another teacher or other weights of its "
                f"losses ({self.supervision.name}); give the same command and the same options"
            )

    def kept_place(self) -> KeptPlace | None:
        """Where the resume file stands; None where there is none."""
        if not self.resume.is_file():
            return None
        content = torch.load(self.resume, map_location="cpu", weights_only=True)["realmnet"]
        return KeptPlace(*(int(content[key]) for key in ("stage", "epochs", "batches")))

    def forget_metrics_after(self, epochs: int) -> None:
        """Drop lines of epochs that a resumed run trains again.

        Raises:
            OutputError: the file cannot be written.
        """
        lines = self._metrics_lines()
        kept = [line for line in lines if msgspec.json.decode(line)["epoch"] <= epochs]
        if self.metrics.is_file() and self.metrics.read_bytes() != b"".join(kept):
            write_atomically(self.metrics, b"".join(kept))

    def read_metrics(self) -> list[dict[str, Any]]:
        """Lines of the metrics so far, one an epoch."""
        return [msgspec.json.decode(line) for line in self._metrics_lines()]

    def _metrics_lines(self) -> list[bytes]:
        """Whole lines; one that a full disk or a power cut tore is left out."""
        if not self.metrics.is_file():
            return []
        lines = self.metrics.read_bytes().splitlines(keepends=True)
        return [line for line in lines if line.endswith(b"\n")]

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add one line of JSON to the metrics.

        Raises:
            OutputError: the file cannot be written.
        """
        _append(self.metrics, msgspec.json.encode(line, enc_hook=_plain) + b"\n")

    def append_log(self, line: str) -> None:
        """Add one line of text to the log.

        Raises:
            OutputError: the file cannot be written.
        """
        _append(self.log, f"{line}\n".encode())


def plain_metrics(metrics: object) -> dict[str, Any]:
    """Metrics as JSON-ready numbers; NaN becomes null."""
    encoded = msgspec.json.encode(metrics, enc_hook=_plain)
    decoded: dict[str, Any] = msgspec.json.decode(encoded)
    return decoded


def software_facts() -> dict[str, str]:
    """Versions of the libraries that decide the outcome of training."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"realmnet": __version__, "python": platform.python_version(), **versions}


def machine_facts() -> dict[str, str]:
    """Kind of machine; no name, no user, no path."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": str(os.cpu_count() or 1),
    }


def _append(path: Path, content: bytes) -> None:
    try:
        with path.open("ab") as file:
            file.write(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def _pretty(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")
