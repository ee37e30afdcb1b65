"""The folder of a compression: one folder a step, written whole, known by its key.

    OUT/recipe.json        the resolved recipe
    OUT/environment.json   versions and kind of machine
    OUT/tables.json        counts and digests of the development and evidence tables
    OUT/01-fp32/           what a step made, with its step.json
    OUT/unfinished/        runs of steps that train, while they do
    OUT/metrics.json       figures of every variant
    OUT/README.md          what all this is; report.html is the same with plots

A step is made under a temporary name and renamed, so that a folder that is there is whole.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from realmnet_compression.compressing.recipe import CompressionRecipe
from realmnet_compression.compressing.tables import Tables
from realmnet_compression.releasing.bundle_facts import software
from realmnet_runtime._version import __version__
from realmnet_runtime.cli.outputs import require_writable_directory
from realmnet_runtime.errors import ConfigurationError, UsageError
from realmnet_runtime.files import cannot_write, sha256_of, temporary_beside, write_atomically
from realmnet_runtime.structs import decode_json
from realmnet_training.fitting.run_folder import machine_facts, software_facts

RECORD_FILE: Final = "step.json"
METRICS_FILE: Final = "metrics.json"
_UNFINISHED: Final = "unfinished"
_LEFT_OVER: Final = ".realmnet-*.part"


class StepRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `step.json` says of a finished step.

    Attributes:
        step: name and settings.
        key: digest of the settings and of everything the step depends on.
        inputs: what that is, by name.
        files: SHA-256 of each file of the step's folder.
        seconds: it took.
    """

    step: dict[str, Any]
    key: str
    inputs: dict[str, str]
    files: dict[str, str]
    seconds: float

    @property
    def digest(self) -> str:
        """Of what later steps depend on: all files but the figures, which hold times."""
        decisive = {name: sha for name, sha in self.files.items() if name != METRICS_FILE}
        return digest_of(decisive)


class CompressionFolder:
    """Paths in the folder and what is written there.

    Args:
        root: the folder; created where it is absent.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.recipe = root / "recipe.json"
        self.environment = root / "environment.json"
        self.tables = root / "tables.json"
        self.metrics = root / METRICS_FILE
        self.readme = root / "README.md"
        self.page = root / "report.html"
        self.cache = root / "cache"

    def require_usable(self) -> None:
        """Return where this is a new folder, an empty one, or that of an earlier run.

        Raises:
            UsageError: it holds something else.
            OutputError: it cannot be written.
        """
        holds = {path.name for path in self.root.iterdir()} if self.root.is_dir() else set()
        if holds - {self.cache.name} and not self.recipe.is_file():
            raise UsageError(
                f"'{self.root}' holds files and no {self.recipe.name}; choose an empty folder or "
                "that of an earlier `realmnet compress`"
            )
        require_writable_directory(self.root)

    def begin(self, recipe: CompressionRecipe, tables: Tables) -> None:
        """Say what is being made, and remove what a killed run left half made.

        Raises:
            OutputError: the folder cannot be written.
        """
        for path in self.root.glob(_LEFT_OVER):
            shutil.rmtree(path, ignore_errors=True)
        write_json(self.recipe, recipe)
        write_json(self.environment, environment())
        write_json(self.tables, tables.facts)

    def work(self, folder: str, key: str) -> Path:
        """Where a step that is being made keeps what it needs to go on after an interruption.

        What the same step left there under another key is removed.
        """
        place = self.root / _UNFINISHED / f"{folder}-{key[:16]}"
        for path in place.parent.glob(f"{folder}-*"):
            if path != place:
                shutil.rmtree(path, ignore_errors=True)
        return place

    def forget(self, work: Path) -> None:
        """Remove what an unfinished step kept."""
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):
            work.parent.rmdir()

    def finished(self, folder: str, key: str) -> StepRecord | None:
        """The record of a step that was made with this key and whose files are whole."""
        path = self.root / folder / RECORD_FILE
        if not path.is_file():
            return None
        try:
            record = decode_json(path.read_bytes(), StepRecord, str(path))
        except ConfigurationError:
            return None
        whole = record.key == key and record.files == _digests(path.parent)
        return record if whole else None

    @contextlib.contextmanager
    def making(self, folder: str) -> Iterator[Path]:
        """A folder to make a step in; it takes its place where the block ends without an error.

        Raises:
            OutputError: it cannot be written.
        """
        place = self.root / folder
        temporary = temporary_beside(place)
        try:
            try:
                temporary.mkdir()
            except OSError as error:
                raise cannot_write(place, error) from error
            yield temporary
            try:
                if place.exists():
                    shutil.rmtree(place)
                temporary.replace(place)
            except OSError as error:
                raise cannot_write(place, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_record(
    made: Path, step: Mapping[str, Any], key: str, inputs: Mapping[str, str], seconds: float
) -> StepRecord:
    """Write `step.json` over everything that was made in a folder."""
    record = StepRecord(
        step=dict(step),
        key=key,
        inputs=dict(inputs),
        files=_digests(made),
        seconds=round(seconds, 1),
    )
    write_json(made / RECORD_FILE, record)
    return record


def environment() -> dict[str, str]:
    """Versions of what decides the outcome, and the kind of machine; no name, no user, no path."""
    return software_facts() | software() | machine_facts()


def key_of(step: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Digest of a step's settings, of what it depends on, and of the software that makes it."""
    made_by = {"toolkit": __version__, "software": software()}
    return digest_of({**made_by, "step": step, "inputs": inputs})


def digest_of(content: object) -> str:
    """SHA-256 of content in one canonical spelling."""
    return sha256_of(msgspec.json.encode(content, order="sorted"))


def write_json(path: Path, content: object) -> None:
    """Write a struct as indented JSON, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(path, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


def _digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != RECORD_FILE)
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(files)}
