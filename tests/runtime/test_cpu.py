from __future__ import annotations

import platform
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime import cpu

CASCADE_LAKE = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz
flags\t\t: fpu sse sse2 sse4_1 sse4_2 avx fma avx2 avx512f avx512dq avx512bw avx512vl avx512_vnni
vmx flags\t: vnmi preemption_timer avx_vnni
bugs\t\t: spectre_v1 amx_int8

processor\t: 1
flags\t\t: fpu sse sse2 sse4_1 sse4_2 avx fma avx2 avx512f avx512dq avx512bw avx512vl avx512_vnni
"""
PENTIUM_4 = "processor\t: 0\nflags\t\t: fpu vme de mmx fxsr sse sse2 ss ht\n"
RASPBERRY_PI_4 = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU part\t: 0xd08\n"
JETSON_ORIN = """\
processor\t: 0
Features\t: fp asimd evtstrm aes pmull crc32 atomics fphp asimdhp cpuid asimdrdm asimddp flagm
CPU part\t: 0xd42
"""
UNLIKE_CORES = JETSON_ORIN + "\n" + RASPBERRY_PI_4.replace("processor\t: 0", "processor\t: 1")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (CASCADE_LAKE, "model name Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz"),
        (UNLIKE_CORES, "CPU part 0xd42; CPU part 0xd08"),
        (PENTIUM_4, ""),
    ],
)
def test_processors_are_told_apart_by_what_the_system_calls_them(text: str, name: str) -> None:
    assert cpu.parse_processor_name(text) == name


def test_this_processor_has_a_name() -> None:
    assert cpu.processor_name()


@pytest.mark.parametrize(
    ("text", "expected", "dot_product"),
    [
        (
            CASCADE_LAKE,
            "sse4_1 sse4_2 avx fma avx2 avx512f avx512dq avx512bw avx512vl avx512_vnni",
            True,
        ),
        (PENTIUM_4, "", False),
        (RASPBERRY_PI_4, "asimd", False),
        (JETSON_ORIN, "asimd asimdhp asimddp", True),
        (UNLIKE_CORES, "asimd", False),
        ("", "", False),
        ("processor: 0\nflags:\n", "", False),
    ],
    ids=["Cascade Lake", "Pentium 4", "Pi 4", "Orin", "unlike cores", "empty", "no flags"],
)
def test_cpuinfo_of_known_machines(text: str, expected: str, dot_product: bool) -> None:
    found = cpu.parse_cpuinfo(text)
    assert found == set(expected.split())
    assert bool(found & cpu.INT8_DOT_PRODUCT) == dot_product


words = st.lists(st.sampled_from([*sorted(cpu.INSTRUCTION_SETS), "unheard_of", "lm"]))


@given(st.lists(words, min_size=1, max_size=4), st.sampled_from(["flags\t\t", "Features\t"]))
def test_what_every_core_has_counts(cores: list[list[str]], key: str) -> None:
    text = "\n".join(f"{key}: {' '.join(words)}\nbogomips\t: 1.0\n" for words in cores)
    common = {word for word in cores[0] if all(word in core for core in cores)}
    assert cpu.parse_cpuinfo(text) == common - {"unheard_of", "lm"}


@given(st.text())
def test_any_text_gives_known_words_only(text: str) -> None:
    assert cpu.parse_cpuinfo(text) <= cpu.INSTRUCTION_SETS


def test_this_machine_speaks_known_words() -> None:
    found = cpu.instruction_sets()
    assert found <= cpu.INSTRUCTION_SETS
    assert cpu.has_int8_dot_product() == bool(found & cpu.INT8_DOT_PRODUCT)
    if platform.machine() in {"aarch64", "arm64"}:
        assert "asimd" in found


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="two sources only on Linux")
def test_opencv_claims_nothing_the_kernel_denies() -> None:
    from_opencv = cpu.from_opencv()
    assert from_opencv <= cpu.instruction_sets()
    assert from_opencv, "OpenCV reports none of the instruction sets it knows"
