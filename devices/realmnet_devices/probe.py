"""What the machine in front of us is."""

from __future__ import annotations

import os
import platform

import cpuinfo
import msgspec
import psutil

from realmnet_devices.engines import EngineState, probe_engines
from realmnet_runtime.cpu import INT8_DOT_PRODUCT, instruction_sets

UNKNOWN = "unknown"


class Host(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The machine, as far as it decides how a bundle runs on it.

    Attributes:
        processor: brand name, or `unknown`.
        architecture: as the system names it: x86_64, aarch64, AMD64, arm64.
        logical_cores: hardware threads of the machine.
        physical_cores: its cores, None where the system does not tell.
        usable_cores: hardware threads this process may run on.
        instruction_sets: names `realmnet_runtime.cpu` uses, sorted.
        memory_mib: main memory.
        system: operating system and release.
        python: version of this interpreter.
        engines: state of each engine the runtime knows.
    """

    processor: str
    architecture: str
    logical_cores: int
    physical_cores: int | None
    usable_cores: int
    instruction_sets: tuple[str, ...]
    memory_mib: int
    system: str
    python: str
    engines: tuple[EngineState, ...]

    @property
    def multiplies_int8(self) -> bool:
        """Whether INT8 networks run faster than FP32 ones here, rather than slower."""
        return not INT8_DOT_PRODUCT.isdisjoint(self.instruction_sets)


def probe_host() -> Host:
    """Describe this machine; loads every engine once, each in its own process."""
    logical = psutil.cpu_count() or 1
    return Host(
        processor=_processor(),
        architecture=platform.machine() or UNKNOWN,
        logical_cores=logical,
        physical_cores=psutil.cpu_count(logical=False),
        usable_cores=_usable_cores(logical),
        instruction_sets=tuple(sorted(instruction_sets())),
        memory_mib=psutil.virtual_memory().total >> 20,
        system=f"{platform.system()} {platform.release()}".strip() or UNKNOWN,
        python=platform.python_version(),
        engines=probe_engines(),
    )


def _processor() -> str:
    brand = cpuinfo.get_cpu_info().get("brand_raw")
    return str(brand or platform.processor() or UNKNOWN).strip()


def _usable_cores(logical: int) -> int:
    if not hasattr(os, "sched_getaffinity"):
        return logical
    return len(os.sched_getaffinity(0))
