"""Which variant runs: the stated order, as laws over any bundle, machine and wish."""

from __future__ import annotations

import importlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmnet_runtime.answering.selection import choose_variant
from realmnet_runtime.backends import AUTO_ORDER, ENGINES, installed_engines
from realmnet_runtime.bundles.manifest import OperatingPoint, Variant
from realmnet_runtime.errors import (
    BackendUnavailable,
    IncompatibleError,
    UsageError,
)

POINT = OperatingPoint(temperatures={"a": 1.0}, thresholds={"a": 0.5}, fitted_on="a test")
WORDS = ("avx512_vnni", "avx_vnni", "asimddp")


def variant(
    name: str, engine: str, precision: str = "fp32", requires: tuple[str, ...] = ()
) -> Variant:
    return Variant(
        name=name,
        engine=engine,  # type: ignore[arg-type]
        precision="int8",
        execution_precision=precision,  # type: ignore[arg-type]
        artifact="model.onnx",
        operating_point=POINT,
        oldest_engine="1.0",
        cpu_requires=requires,
    )


VARIANTS = st.lists(
    st.tuples(
        st.sampled_from(["onnxruntime", "openvino", "tensorrt"]),
        st.sampled_from(["fp32", "int8"]),
        st.lists(st.sampled_from(WORDS), max_size=2, unique=True).map(tuple),
    ),
    min_size=1,
    max_size=6,
).map(lambda rows: tuple(variant(f"v{i}", *row) for i, row in enumerate(rows)))
ENGINE_SETS = st.frozensets(st.sampled_from(sorted(ENGINES)))
CPUS = st.frozensets(st.sampled_from(WORDS))


def runs(each: Variant, cpu: frozenset[str]) -> bool:
    return not each.cpu_requires or bool(cpu.intersection(each.cpu_requires))


@given(VARIANTS, ENGINE_SETS, CPUS)
def test_auto_takes_the_first_of_the_stated_order(
    variants: tuple[Variant, ...], installed: frozenset[str], cpu: frozenset[str]
) -> None:
    ranked = sorted(
        (
            (AUTO_ORDER.index(each.engine), each.execution_precision != "int8", position)
            for position, each in enumerate(variants)
            if each.engine in AUTO_ORDER and each.engine in installed and runs(each, cpu)
        ),
    )
    try:
        choice = choose_variant(variants, installed=installed, instruction_sets=cpu)
    except (BackendUnavailable, IncompatibleError):
        assert not ranked
    else:
        assert choice.variant == variants[ranked[0][2]]
        assert choice.variant.name in choice.reason


@given(VARIANTS, ENGINE_SETS, CPUS, st.sampled_from(sorted(ENGINES)))
def test_an_engine_asked_for_is_the_one_that_runs_or_nothing_does(
    variants: tuple[Variant, ...], installed: frozenset[str], cpu: frozenset[str], engine: str
) -> None:
    try:
        choice = choose_variant(variants, engine=engine, installed=installed, instruction_sets=cpu)
    except BackendUnavailable:
        assert engine not in installed
    except IncompatibleError:
        assert not any(each.engine == engine and runs(each, cpu) for each in variants)
    else:
        assert choice.variant.engine == engine
        assert engine in installed
        assert runs(choice.variant, cpu)


@given(VARIANTS, ENGINE_SETS, CPUS, st.integers(0, 5))
def test_a_variant_asked_for_is_the_one_that_runs_or_nothing_does(
    variants: tuple[Variant, ...], installed: frozenset[str], cpu: frozenset[str], index: int
) -> None:
    wished = variants[index % len(variants)]
    try:
        choice = choose_variant(
            variants, name=wished.name, installed=installed, instruction_sets=cpu
        )
    except BackendUnavailable:
        assert wished.engine not in installed
    except IncompatibleError:
        assert not runs(wished, cpu)
    else:
        assert choice.variant == wished


BOTH = frozenset(ENGINES)


def test_messages_name_the_cure() -> None:
    variants = (
        variant("ort", "onnxruntime"),
        variant("ov", "openvino", "int8", ("avx512_vnni", "avx_vnni")),
    )
    with pytest.raises(BackendUnavailable, match=r"pip install 'realmnet-runtime\[openvino\]'"):
        choose_variant(variants, engine="openvino", installed=set(), instruction_sets=set())
    with pytest.raises(BackendUnavailable, match=r"\[openvino\].* or .*\[onnxruntime\]"):
        choose_variant(variants, installed=set(), instruction_sets=set())
    with pytest.raises(BackendUnavailable, match=r"\[tensorrt\].* or .*\[tensorrt-rtx\]"):
        choose_variant(variants, engine="tensorrt", installed=set(), instruction_sets=set())
    with pytest.raises(IncompatibleError, match="no tensorrt variant; it has ort, ov"):
        choose_variant(variants, engine="tensorrt", installed=BOTH, instruction_sets=set())
    with pytest.raises(IncompatibleError, match="ask for engine tensorrt by name"):
        choose_variant((variant("trt", "tensorrt"),), installed=BOTH, instruction_sets=set())
    with pytest.raises(IncompatibleError, match="avx512_vnni or avx_vnni"):
        choose_variant(variants, name="ov", installed=BOTH, instruction_sets=set())
    with pytest.raises(UsageError, match="it has ort, ov"):
        choose_variant(variants, name="x", installed=BOTH, instruction_sets=set())
    with pytest.raises(UsageError, match=r"ort.*onnxruntime.*openvino"):
        choose_variant(
            variants, name="ort", engine="openvino", installed=BOTH, instruction_sets=set()
        )
    with pytest.raises(UsageError, match="did you mean 'openvino'"):
        choose_variant(variants, engine="openvin", installed=BOTH, instruction_sets=set())
    with pytest.raises(IncompatibleError, match="no onnxruntime variant; it has ov"):
        choose_variant(
            variants[1:], engine="onnxruntime", installed=BOTH, instruction_sets=set(WORDS)
        )


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_installed_engines_are_those_that_import(name: str) -> None:
    try:
        importlib.import_module(ENGINES[name].module)
    except ModuleNotFoundError:
        assert name not in installed_engines()
    else:
        assert name in installed_engines()
