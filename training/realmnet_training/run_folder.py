"""The folder of one training run: preset, environment, metrics, checkpoint, resume file."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from realmnet_runtime import __version__
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.files import cannot_write, write_atomically
from realmnet_runtime.structs import decode_json

_LIBRARIES: Final = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "numpy",
    "opencv-python",
    "safetensors",
)


class RunFolder:
    """Paths in a run's folder and what is written there.

    Args:
        root: the folder; created where it is absent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.preset = root / "preset.json"
        self.environment = root / "environment.json"
        self.metrics = root / "metrics.jsonl"
        self.checkpoint = root / "checkpoint.safetensors"
        self.resume = root / "resume.ckpt"
        self.cache = root / "cache"

    def open(self, preset: msgspec.Struct, *, resume: bool) -> None:
        """Begin or continue a run.

        Raises:
            UsageError: a run is already there, or there is none to continue.
            ConfigurationError: the run there was begun with another preset.
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
            if decode_json(self.preset.read_bytes(), type(preset), str(self.preset)) != preset:
                raise ConfigurationError(
                    f"the run in '{self.root}' was begun with another preset ({self.preset.name}); "
                    "give the same preset and the same --set"
                )
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.root, error) from error
        write_atomically(self.environment, _pretty(software_facts() | machine_facts()))
        write_atomically(self.preset, _pretty(preset))

    def forget_metrics_after(self, epochs: int) -> None:
        """Drop lines of epochs that a resumed run trains again.

        Raises:
            OutputError: the file cannot be written.
        """
        if not self.metrics.is_file():
            return
        lines = self.metrics.read_bytes().splitlines(keepends=True)
        kept = [line for line in lines if msgspec.json.decode(line)["epoch"] <= epochs]
        if len(kept) < len(lines):
            write_atomically(self.metrics, b"".join(kept))

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add one line of JSON to the metrics.

        Raises:
            OutputError: the file cannot be written.
        """
        try:
            with self.metrics.open("ab") as file:
                file.write(msgspec.json.encode(line, enc_hook=_plain) + b"\n")
        except OSError as error:
            raise cannot_write(self.metrics, error) from error


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


def _pretty(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")
