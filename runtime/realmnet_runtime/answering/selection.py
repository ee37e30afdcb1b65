"""Which variant of a bundle runs on this machine, and why.

The order of `auto`: OpenVINO before ONNX Runtime, of the engines that are installed; within an
engine the variants that compute in INT8 first, else in the manifest's order; a variant counts only
where the CPU has one of the instruction sets it requires. The reason goes into every answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from realmnet_runtime.backends import AUTO_ORDER, ENGINES, known_engine
from realmnet_runtime.bundles.manifest import Variant
from realmnet_runtime.errors import BackendUnavailable, IncompatibleError, UsageError

AUTO: Final = "auto"


class Choice(msgspec.Struct, frozen=True):
    """A variant and the one line that says why it was taken."""

    variant: Variant
    reason: str


def choose_variant(
    variants: tuple[Variant, ...],
    *,
    engine: str = AUTO,
    name: str | None = None,
    installed: Collection[str],
    instruction_sets: Collection[str],
) -> Choice:
    """Choose by name, by engine, or by the stated order.

    Args:
        variants: of the bundle, in the manifest's order.
        engine: `auto` or the name of an engine.
        name: of a variant; it alone is then considered.
        installed: engines of this machine.
        instruction_sets: of its CPU.

    Raises:
        UsageError: unknown engine or variant, or a variant of another engine.
        BackendUnavailable: the engine asked for, or every engine of the bundle, is absent.
        IncompatibleError: the bundle has nothing for the engine, or nothing this CPU can run.
    """
    asked = AUTO if engine == AUTO else known_engine(engine)
    if name is not None:
        return _by_name(variants, asked, name, installed, instruction_sets)
    if asked != AUTO:
        _require_installed(asked, installed)
        choice = _first_of(variants, asked, instruction_sets)
        if choice is None:
            raise _nothing_runs(variants, asked, instruction_sets)
        return Choice(choice, f"engine {asked} asked for; {_why(choice, instruction_sets)}")
    return _by_order(variants, installed, instruction_sets)


def _by_name(
    variants: tuple[Variant, ...],
    engine: str,
    name: str,
    installed: Collection[str],
    instruction_sets: Collection[str],
) -> Choice:
    variant = next((variant for variant in variants if variant.name == name), None)
    if variant is None:
        raise UsageError(f"bundle has no variant '{name}'; it has {_names(variants)}")
    if engine not in {AUTO, variant.engine}:
        raise UsageError(
            f"variant '{name}' is for {variant.engine}, and engine {engine} was asked for; "
            f"ask for one of the two"
        )
    _require_installed(variant.engine, installed)
    if not runs_on(variant, instruction_sets):
        raise IncompatibleError(
            f"variant '{name}' needs a CPU with {_requirement(variant)}, which this one lacks; "
            f"leave the variant to the bundle or name another of {_names(variants)}"
        )
    return Choice(variant, "variant asked for by name")


def _by_order(
    variants: tuple[Variant, ...], installed: Collection[str], instruction_sets: Collection[str]
) -> Choice:
    passed_over = []
    for engine in AUTO_ORDER:
        if engine not in installed:
            passed_over.append(f"{engine} is not installed")
            continue
        choice = _first_of(variants, engine, instruction_sets)
        if choice is not None:
            reasons = [*passed_over, _why(choice, instruction_sets)]
            return Choice(choice, f"auto ({', '.join(AUTO_ORDER)}): {'; '.join(reasons)}")
        passed_over.append(f"the bundle has no variant this CPU can run in {engine}")
    offered = [engine for engine in ENGINES if any(v.engine == engine for v in variants)]
    if offered and not any(engine in installed for engine in offered):
        cures = " or ".join(ENGINES[engine].cure for engine in offered)
        raise BackendUnavailable(
            f"bundle needs {' or '.join(offered)} and neither is installed; {cures}"
            if len(offered) > 1
            else f"bundle needs {offered[0]}, which is not installed; {cures}"
        )
    raise _nothing_runs(variants, AUTO, instruction_sets)


def _first_of(
    variants: Iterable[Variant], engine: str, instruction_sets: Collection[str]
) -> Variant | None:
    fit = [v for v in variants if v.engine == engine and runs_on(v, instruction_sets)]
    # `sorted` is stable: INT8 first, otherwise as the manifest lists them.
    return next(iter(sorted(fit, key=lambda v: v.execution_precision != "int8")), None)


def runs_on(variant: Variant, instruction_sets: Collection[str]) -> bool:
    """Whether a CPU with these instruction sets has one that the variant requires."""
    return not variant.cpu_requires or any(
        required in instruction_sets for required in variant.cpu_requires
    )


def _why(variant: Variant, instruction_sets: Collection[str]) -> str:
    having = [required for required in variant.cpu_requires if required in instruction_sets]
    need = f"the CPU has {', '.join(having)}" if having else "any CPU will do"
    return (
        f"{variant.name} is the first {variant.engine} variant that fits, "
        f"{variant.execution_precision} ({need})"
    )


def _nothing_runs(
    variants: tuple[Variant, ...], engine: str, instruction_sets: Collection[str]
) -> IncompatibleError:
    mine = [v for v in variants if engine in {AUTO, v.engine}]
    if not mine:
        return IncompatibleError(f"bundle has no {engine} variant; it has {_names(variants)}")
    unmet = [f"{v.name} needs {_requirement(v)}" for v in mine if not runs_on(v, instruction_sets)]
    if unmet:
        return IncompatibleError(
            f"this CPU runs no variant of the bundle: {'; '.join(unmet)}; "
            f"use a bundle with an fp32 variant"
        )
    by_name = sorted({v.engine for v in mine if v.engine in ENGINES and v.engine not in AUTO_ORDER})
    if by_name:
        return IncompatibleError(
            f"the bundle's variants run in {', '.join(by_name)}, which auto does not choose; ask "
            f"for engine {' or '.join(by_name)} by name"
        )
    return IncompatibleError(
        f"this runtime has no engine for {_names(variants)}; its engines are {', '.join(ENGINES)}"
    )


def _require_installed(engine: str, installed: Collection[str]) -> None:
    if engine not in ENGINES:
        known_engine(engine)
    if engine not in installed:
        raise BackendUnavailable(f"engine '{engine}' is not installed; {ENGINES[engine].cure}")


def _requirement(variant: Variant) -> str:
    return " or ".join(variant.cpu_requires)


def _names(variants: Iterable[Variant]) -> str:
    return ", ".join(variant.name for variant in variants)
