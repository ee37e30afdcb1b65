"""Which instruction sets the processor offers, in the words the manifest uses.

Linux says it in /proc/cpuinfo; elsewhere OpenCV is asked, which knows most but not all of them
(not AMX, not I8MM). What neither knows counts as absent: a variant that needs it is not chosen.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path
from typing import Final

import cv2

INSTRUCTION_SETS: Final = frozenset(
    [
        "sse4_1", "sse4_2", "fma", "avx", "avx2", "avx_vnni", "avx_vnni_int8",
        "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16",
        "amx_tile", "amx_int8", "amx_bf16", "amx_fp16",
        "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm",
    ]
)  # fmt: skip
"""Every word `instruction_sets` can return: the kernel's own names of x86 and 64-bit Arm."""

INT8_DOT_PRODUCT: Final = frozenset(
    ["avx_vnni", "avx_vnni_int8", "avx512_vnni", "amx_int8", "asimddp", "i8mm"]
)
"""Sets that multiply 8-bit integers and add into 32 bits in one instruction."""

_CPUINFO: Final = Path("/proc/cpuinfo")
_NAMING: Final = frozenset(
    [
        "vendor_id", "cpu family", "model", "model name", "stepping",
        "CPU implementer", "CPU variant", "CPU part", "CPU revision",
    ]
)  # fmt: skip
_LAST_OPENCV_FEATURE: Final = 511
_KERNEL_NAME: Final = {
    "SSE4.1": "sse4_1",
    "SSE4.2": "sse4_2",
    "FMA3": "fma",
    "AVX": "avx",
    "AVX2": "avx2",
    "AVX_VNNI": "avx_vnni",
    "AVX512F": "avx512f",
    "AVX512BW": "avx512bw",
    "AVX512DQ": "avx512dq",
    "AVX512VL": "avx512vl",
    "AVX512VNNI": "avx512_vnni",
    "NEON": "asimd",
    "NEON_DOTPROD": "asimddp",
    "NEON_FP16": "asimdhp",
    "NEON_BF16": "bf16",
    "SVE": "sve",
}


@functools.cache
def processor_name() -> str:
    """What the system calls the processor, for telling machines apart; the same at every call.

    Linux on x86 gives the model's name and stepping, on Arm the implementer, part and revision.
    """
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return parse_processor_name(text) or platform.processor() or platform.machine()


@functools.cache
def instruction_sets() -> frozenset[str]:
    """Instruction sets of this machine that `INSTRUCTION_SETS` knows; unknown ones are absent."""
    try:
        text = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return from_opencv()
    return parse_cpuinfo(text)


def has_int8_dot_product() -> bool:
    """Whether INT8 networks run faster than FP32 ones here, rather than slower."""
    return not INT8_DOT_PRODUCT.isdisjoint(instruction_sets())


def parse_cpuinfo(text: str) -> frozenset[str]:
    """Instruction sets in a /proc/cpuinfo of x86 (`flags`) or Arm (`Features`).

    Processors with unlike cores list each; a thread may land on any, so what all share counts.
    """
    lists = [
        words.split()
        for key, _, words in (line.partition(":") for line in text.splitlines())
        if key.strip() in {"flags", "Features"}
    ]
    if not lists:
        return frozenset()
    return INSTRUCTION_SETS.intersection(*lists)


def parse_processor_name(text: str) -> str:
    """The processors of a /proc/cpuinfo in words, each kind once; empty where it names none."""
    kinds: dict[str, None] = {}
    for block in text.split("\n\n"):
        lines = [line.partition(":") for line in block.splitlines()]
        words = [f"{k.strip()} {value.strip()}" for k, _, value in lines if k.strip() in _NAMING]
        if words:
            kinds[", ".join(words)] = None
    return "; ".join(kinds)


def from_opencv() -> frozenset[str]:
    """Instruction sets OpenCV detects; a subset of what /proc/cpuinfo tells on the same machine."""
    found = (
        _KERNEL_NAME.get(cv2.getHardwareFeatureName(feature), "")
        for feature in range(1, _LAST_OPENCV_FEATURE + 1)
        if cv2.checkHardwareSupport(feature)
    )
    return frozenset(found) & INSTRUCTION_SETS
