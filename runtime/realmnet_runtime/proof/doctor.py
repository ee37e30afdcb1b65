"""What this machine can run, and what is amiss with its installation."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Final

import cv2
import msgspec

from realmnet_runtime._version import __version__
from realmnet_runtime.backends import ENGINES, default_threads, installed_engines, load_engine
from realmnet_runtime.bundles.bundle import Bundle
from realmnet_runtime.bundles.default_bundle import find_default_bundle
from realmnet_runtime.cpu import has_int8_dot_product, instruction_sets
from realmnet_runtime.errors import BackendUnavailable, RealmnetError

_ONE_WHEEL_ONLY: Final = ("cv2", "onnxruntime", "openvino")
_LIBRARIES: Final = ("numpy", "msgspec", "typer", "rich")


class EngineState(msgspec.Struct, frozen=True):
    """One engine: whether it is installed, whether it loads, and the cure where it does not."""

    name: str
    loads: bool
    version: str | None
    problem: str | None


class DoctorReport(msgspec.Struct, frozen=True):
    """The state of one installation; no personal data.

    Attributes:
        runtime, python, platform: versions and system.
        libraries: version by name, None where absent.
        engines: in the order `auto` asks them.
        instruction_sets: of the CPU, sorted.
        int8_dot_product: whether INT8 variants run faster than FP32 ones here.
        default_threads: an engine gets where nobody says.
        default_bundle: model and version, or None.
        problems: one line each; empty where all is well.
    """

    runtime: str
    python: str
    platform: str
    libraries: dict[str, str | None]
    engines: tuple[EngineState, ...]
    instruction_sets: tuple[str, ...]
    int8_dot_product: bool
    default_threads: int
    default_bundle: str | None
    problems: tuple[str, ...]

    def require_engine(self) -> None:
        """Return where at least one engine loads.

        Raises:
            BackendUnavailable: none does.
        """
        if not any(engine.loads for engine in self.engines):
            cures = " or ".join(entry.cure for entry in ENGINES.values())
            raise BackendUnavailable(f"no engine loads on this machine; {cures}")


def examine() -> DoctorReport:
    """Examine this machine and this installation; engines are truly imported."""
    engines = tuple(_engine_state(name) for name in ENGINES)
    bundle, bundle_problem = _default_bundle()
    problems = [
        *conflicting_wheels(packages_distributions()),
        *(engine.problem for engine in engines if engine.problem and _installed(engine.name)),
        *([bundle_problem] if bundle_problem else []),
    ]
    return DoctorReport(
        runtime=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        libraries={"opencv": cv2.__version__, **{name: _version(name) for name in _LIBRARIES}},
        engines=engines,
        instruction_sets=tuple(sorted(instruction_sets())),
        int8_dot_product=has_int8_dot_product(),
        default_threads=default_threads(),
        default_bundle=bundle,
        problems=tuple(problems),
    )


def conflicting_wheels(distributions: Mapping[str, list[str]]) -> list[str]:
    """Lines on packages that several installed wheels write over one another.

    Args:
        distributions: names of the distributions by top-level package, as
            `importlib.metadata.packages_distributions` gives them.
    """
    lines = []
    for package in _ONE_WHEEL_ONLY:
        wheels = sorted({name.lower() for name in distributions.get(package, [])})
        if len(wheels) > 1:
            lines.append(
                f"{len(wheels)} wheels bring '{package}' ({', '.join(wheels)}) and overwrite one "
                f"another; pip uninstall {' '.join(wheels)}, then install the one you want"
            )
    return lines


def _engine_state(name: str) -> EngineState:
    try:
        load_engine(name)
    except BackendUnavailable as error:
        return EngineState(name, loads=False, version=None, problem=str(error))
    return EngineState(name, loads=True, version=_version(ENGINES[name].module), problem=None)


def _installed(name: str) -> bool:
    return name in installed_engines()


def _default_bundle() -> tuple[str | None, str | None]:
    try:
        with Bundle.open(find_default_bundle()) as bundle:
            model = bundle.manifest.model
            return f"{model.name} {model.version} ({bundle.digest[:12]})", None
    except RealmnetError as error:
        return None, str(error)


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
