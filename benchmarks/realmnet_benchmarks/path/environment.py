"""Where a figure was taken: processor, versions, threads, and whether the machine was shared."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
from typing import Final

import cv2
import msgspec
import psutil

from realmnet_benchmarks.intake.commands import usable_cores
from realmnet_runtime._version import __version__
from realmnet_runtime.clock import utc_now
from realmnet_runtime.cpu import instruction_sets, processor_name

SHARED: Final = "shared machine"
QUIET: Final = "quiet machine"
_DISTRIBUTIONS: Final = ("numpy", "openvino", "onnxruntime", "torch", "timm")
_BUSY: Final = 0.25


class Environment(msgspec.Struct, frozen=True):
    """The machine and the software, without anything that names either's owner.

    Attributes:
        machine: `shared machine` where other work ran beside or may have; else `quiet machine`.
        load_before: processes that wanted a core, mean of the minute before; None where the
            system does not tell.
        processor: as the system names it.
        instruction_sets: sorted.
        usable_cores: hardware threads this process may run on.
        memory_mib: main memory.
        system: operating system and release.
        versions: of Python, the runtime and the libraries that are installed.
        threads: each route computes with.
        at: UTC.
    """

    machine: str
    load_before: float | None
    processor: str
    instruction_sets: tuple[str, ...]
    usable_cores: int
    memory_mib: int
    system: str
    versions: dict[str, str]
    threads: int
    at: str


def describe_environment(threads: int, *, quiet: bool) -> Environment:
    """Describe this machine before a measurement.

    Args:
        threads: each route will compute with.
        quiet: somebody vouches that nothing else runs; believed only while the load agrees.
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    busy = load is not None and load > _BUSY * usable_cores()
    return Environment(
        machine=QUIET if quiet and not busy else SHARED,
        load_before=load,
        processor=processor_name(),
        instruction_sets=tuple(sorted(instruction_sets())),
        usable_cores=usable_cores(),
        memory_mib=psutil.virtual_memory().total >> 20,
        system=f"{platform.system()} {platform.release()}".strip(),
        versions=_versions(),
        threads=threads,
        at=str(utc_now()),
    )


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "realmnet-runtime": __version__,
        "opencv": cv2.__version__,
        **{
            name: importlib.metadata.version(name)
            for name in _DISTRIBUTIONS
            if importlib.util.find_spec(name)
        },
    }
