"""For which machine an engine file was built: the key beside it, checked before it is loaded.

A TensorRT engine is machine code for one GPU, one library and often one driver. Loading it runs
that code, so nothing of an engine file is handed to the library before its key is that of this
machine and its bytes are those that were built. The key is a JSON file beside the engine.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from realmnet_runtime.bundles.manifest import Digest, Precision
from realmnet_runtime.errors import (
    ConfigurationError,
    IncompatibleError,
    IntegrityError,
)
from realmnet_runtime.files import sha256_of, write_atomically
from realmnet_runtime.structs import decode_json

ANY_GPU: Final = "any of this capability"
"""Instead of a GPU's name: built ahead of time for every GPU of one compute capability."""

KEY_SUFFIX: Final = ".key.json"
ENGINE_SUFFIX: Final = ".engine"
_LARGEST_KEY_BYTES: Final = 1 << 16
_BUILD: Final = "build it again on this machine with realmnet_compression.build_tensorrt"

Library = Literal["tensorrt", "tensorrt-rtx"]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class EngineKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be the same where an engine was built and where it runs.

    Attributes:
        built_with: which of the two libraries; neither loads the other's files.
        built_with_version: of the library; engines are not portable between releases.
        gpu: name of the GPU, or `ANY_GPU`.
        compute_capability: of the GPU, for example `8.9`.
        driver: newest CUDA the driver offers, for example `13.0`, which changes with the driver's
            branch; None where the engine was built without one.
        onnx_sha256: of the ONNX file it was built from.
    """

    built_with: Library
    built_with_version: Word
    gpu: Word
    compute_capability: Annotated[str, msgspec.Meta(pattern=r"^\d{1,2}\.\d$")]
    driver: Word | None
    onnx_sha256: Digest


class EngineRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file beside an engine.

    Attributes:
        key: for which machine it was built.
        engine_sha256: of the engine file.
        engine_bytes: size of the engine file.
        precision: in which the network's products are typed.
        products: number of convolutions and matrix products by arithmetic, read off the graph
            the engine was built from: in a strongly typed network the graph decides.
        build_seconds: how long the build took.
    """

    key: EngineKey
    engine_sha256: Digest
    engine_bytes: Annotated[int, msgspec.Meta(gt=0)]
    precision: Precision
    products: dict[str, int]
    build_seconds: Annotated[float, msgspec.Meta(ge=0.0)]


def engine_folder() -> Path:
    """Where engines of this user are kept: `realmnet/engines` in the cache folder (XDG)."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "realmnet" / "engines"


def engine_name(key: EngineKey) -> str:
    """File name that keeps engines for different machines apart."""
    parts = (
        key.onnx_sha256[:12],
        key.built_with,
        key.built_with_version,
        "any" if key.gpu == ANY_GPU else key.gpu,
        f"sm{key.compute_capability}",
        *([f"cuda{key.driver}"] if key.driver else []),
    )
    return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(parts)) + ENGINE_SUFFIX


def key_path(engine: Path) -> Path:
    """Path of the key beside an engine."""
    return engine.with_name(engine.name + KEY_SUFFIX)


def differences(stored: EngineKey, here: EngineKey) -> list[str]:
    """What keeps an engine from this machine, in words; empty where nothing does.

    Args:
        stored: the engine's.
        here: this machine's, for the file that is to run.
    """
    free = {"gpu": stored.gpu == ANY_GPU, "driver": stored.driver is None}
    return [
        f"{field.replace('_', ' ')} {getattr(stored, field)}, here {getattr(here, field)}"
        for field in EngineKey.__struct_fields__
        if getattr(stored, field) != getattr(here, field) and not free.get(field, False)
    ]


def require_same_key(stored: EngineKey, here: EngineKey) -> None:
    """Return where an engine may be loaded on this machine.

    Args:
        stored: the engine's.
        here: this machine's, for the file that is to run.

    Raises:
        IncompatibleError: anything differs; every difference is named.
    """
    found = differences(stored, here)
    if found:
        raise IncompatibleError(f"engine was built for {'; '.join(found)}; {_BUILD}")


def write_engine(path: Path, plan: bytes, record: EngineRecord) -> None:
    """Write an engine and its key, each whole or not at all.

    A power cut between the two leaves an engine whose key is absent or another's, which
    `read_engine` refuses.

    Args:
        path: of the engine; its directory must exist.
        plan: the serialised engine.
        record: its key.

    Raises:
        OutputError: one could not be written.
    """
    write_atomically(path, plan)
    write_atomically(key_path(path), msgspec.json.format(msgspec.json.encode(record)) + b"\n")


def read_record(path: Path) -> EngineRecord:
    """Read the key beside an engine.

    Raises:
        IntegrityError: there is none, or it is damaged.
    """
    beside = key_path(path)
    try:
        with beside.open("rb") as file:
            raw = file.read(_LARGEST_KEY_BYTES + 1)
        if len(raw) > _LARGEST_KEY_BYTES:
            raise IntegrityError(f"key '{beside}' is no key: it is too long; {_BUILD}")
        return decode_json(raw, EngineRecord, f"key '{beside}'")
    except OSError as error:
        raise IntegrityError(
            f"engine '{path}' has no key '{beside.name}' beside it ({error.strerror}); {_BUILD}"
        ) from error
    except ConfigurationError as error:
        raise IntegrityError(f"{error}; {_BUILD}") from error


def read_engine(path: Path, here: EngineKey) -> tuple[bytes, EngineRecord]:
    """Read an engine that may be loaded on this machine.

    Args:
        path: of the engine.
        here: this machine's key, for the file that is to run.

    Returns:
        The engine's bytes, those that were built, and its record.

    Raises:
        IntegrityError: no key, a damaged one, or bytes that are not those that were built.
        IncompatibleError: the key is another's.
    """
    record = read_record(path)
    require_same_key(record.key, here)
    try:
        plan = path.read_bytes()
    except OSError as error:
        raise IntegrityError(
            f"engine '{path}' cannot be read ({error.strerror}); {_BUILD}"
        ) from error
    if sha256_of(plan) != record.engine_sha256:
        raise IntegrityError(
            f"engine '{path}' is not the file its key was written for; delete it and {_BUILD}"
        )
    return plan, record


def find_engine(folder: Path, here: EngineKey) -> tuple[bytes, EngineRecord]:
    """Read the engine in a folder that was built for this machine and this file.

    Args:
        folder: where engines are kept.
        here: this machine's key, for the file that is to run.

    Raises:
        IncompatibleError: the folder has no engine of this file, or only other machines'.
        IntegrityError: an engine without a key or with a damaged one, or the one found is not the
            one that was built.
    """
    records = {path: read_record(path) for path in sorted(folder.glob(f"*{ENGINE_SUFFIX}"))}
    mine = [path for path, found in records.items() if found.key.onnx_sha256 == here.onnx_sha256]
    if not mine:
        raise IncompatibleError(
            f"no engine of this model file in '{folder}'; an engine is built for one machine: "
            f"{_BUILD}"
        )
    nearest = min(mine, key=lambda path: len(differences(records[path].key, here)))
    return read_engine(nearest, here)
